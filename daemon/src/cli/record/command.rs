//! Runs the command that is recorded: forwards the signals that taskscope gets, and returns the command's status as taskscope's own.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    io::{Interest, unix::AsyncFd},
    select,
    signal::unix::{Signal as Signals, SignalKind, signal},
};

use crate::fd;

/// What a shell exits with if a command cannot be run, or is not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// A command that runs, or has ended.
pub(super) struct RunningCommand {
    child: Child,
    fd: AsyncFd<OwnedFd>,
    status: Option<u8>,
    terminate: Signals,
    hangup: Signals,
    interrupt: Signals,
    quit: Signals,
    /// Whether the terminal sends its signals to the command as well.
    has_terminal: bool,
}

impl RunningCommand {
    /// Starts it. The error has the exit code.
    pub(super) fn start(program: &OsStr, arguments: &[OsString]) -> Result<Self, (u8, io::Error)> {
        let other = |error| (CANNOT_RUN, error);
        // Handlers first: a signal in between must not end taskscope without the command.
        let terminate = signal(SignalKind::terminate()).map_err(other)?;
        let hangup = signal(SignalKind::hangup()).map_err(other)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(other)?;
        let quit = signal(SignalKind::quit()).map_err(other)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the user asks for this command; nothing else is executed"
        )]
        let mut command = Command::new(program);
        let child = command.args(arguments).spawn().map_err(|error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
            (exit, error)
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| other(io::ErrorKind::NotFound.into()))?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| other(error.into()))?;
        let fd = fd::watch(fd, Interest::READABLE).map_err(other)?;
        let has_terminal = io::stdin().is_terminal();
        Ok(Self { child, fd, status: None, terminate, hangup, interrupt, quit, has_terminal })
    }

    /// Waits for its end and passes signals to it; returns its exit code. Cancelling the wait loses nothing.
    pub(super) async fn ended(&mut self) -> io::Result<u8> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            select! {
                // A pidfd is readable once the process has ended.
                ready = self.fd.readable() => {
                    ready?.clear_ready();
                    if let Some(status) = self.child.try_wait()? {
                        self.status = Some(code(status));
                    }
                }
                _ = self.terminate.recv() => self.pass(Signal::TERM),
                _ = self.hangup.recv() => self.pass(Signal::HUP),
                _ = self.interrupt.recv() => self.pass_from_terminal(Signal::INT),
                _ = self.quit.recv() => self.pass_from_terminal(Signal::QUIT),
            }
        }
    }

    /// A terminal has sent the signal to the command already.
    fn pass_from_terminal(&self, signal: Signal) {
        if !self.has_terminal {
            self.pass(signal);
        }
    }

    fn pass(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(self.fd.get_ref(), signal) {
            log::debug!("passing a signal to the command: {error}");
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}
