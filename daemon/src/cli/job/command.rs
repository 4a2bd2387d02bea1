//! Runs the command of a job: forwards the signals that taskscope gets, and returns the command's status as taskscope's own.

use std::{
    ffi::OsString,
    io, mem,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Command, ExitCode, ExitStatus},
};

use tokio::io::unix::AsyncFd;

use super::{
    Status,
    signals::{Received, Signals, read},
    terminal::Terminal,
};
use crate::{cli::exit::Exit, job::Rusage};

/// What a shell exits with if a command cannot be run, or is not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// A command that runs, or has ended.
pub(super) struct JobCommand {
    pid: libc::pid_t,
    signals: AsyncFd<OwnedFd>,
    terminal: Terminal,
    is_stopped: bool,
}

/// What came of the start.
pub(super) enum Started {
    Running(JobCommand),
    /// It cannot be started; taskscope exits with this.
    Refused(ExitCode),
}

/// What wait4(2) says.
enum Change {
    None,
    Stopped(libc::c_int),
    Ended(Status),
}

impl JobCommand {
    /// Starts it.
    pub(super) fn start(command: &[OsString], signals: Signals) -> Started {
        let Some((program, arguments)) = command.split_first() else {
            return Started::Refused(Exit::Usage.into());
        };
        let failed = |exit: u8, error: &io::Error| {
            log::error!("starting {}: {error}", program.display());
            Started::Refused(ExitCode::from(exit))
        };
        let before = signals.before;
        let signals = match signals.watch() {
            Ok(signals) => signals,
            Err(error) => return failed(CANNOT_RUN, &error),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the user asks for this command; nothing else is executed"
        )]
        let mut command = Command::new(program);
        command.args(arguments);
        // SAFETY: between fork(2) and execve(2) only sigprocmask(2) is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) {
                    0 => Ok(()),
                    error => Err(io::Error::from_raw_os_error(error)),
                }
            });
        }
        let terminal = Terminal::open();
        match command.spawn() {
            Ok(child) => match libc::pid_t::try_from(child.id()) {
                Ok(pid) => Started::Running(Self { pid, signals, terminal, is_stopped: false }),
                Err(error) => failed(CANNOT_RUN, &io::Error::other(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => failed(NOT_FOUND, &error),
            Err(error) => failed(CANNOT_RUN, &error),
        }
    }

    /// Returns its pid.
    pub(super) const fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    /// Waits for its end and passes signals to it.
    pub(super) async fn ended(&mut self) -> io::Result<Status> {
        loop {
            match self.change()? {
                Change::Ended(status) => {
                    self.terminal.take_back();
                    return Ok(status);
                }
                Change::Stopped(signal) => self.stop_too(signal),
                Change::None => {}
            }
            let mut ready = self.signals.readable().await?;
            match read(ready.get_inner())? {
                Some(received) => self.pass(received),
                None => ready.clear_ready(),
            }
        }
    }

    /// Asks whether it has ended or was stopped.
    fn change(&mut self) -> io::Result<Change> {
        let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
        let mut status = 0;
        // SAFETY: the structure holds integers only, for which all zeroes are valid.
        let mut used: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: both pointers are to variables that outlive the call.
        let found = unsafe { libc::wait4(self.pid, &raw mut status, options, &raw mut used) };
        if found < 0 {
            return Err(io::Error::last_os_error());
        }
        if found == 0 {
            return Ok(Change::None);
        }
        if libc::WIFSTOPPED(status) {
            self.is_stopped = true;
            return Ok(Change::Stopped(libc::WSTOPSIG(status)));
        }
        if libc::WIFCONTINUED(status) {
            self.is_stopped = false;
            return Ok(Change::None);
        }
        Ok(Change::Ended(Status { code: code(ExitStatus::from_raw(status)), rusage: rusage(&used) }))
    }

    /// Stops taskscope where the terminal stopped the command, so that the shell that started both sees a stopped job. The shell's
    /// `fg` continues both.
    fn stop_too(&self, signal: libc::c_int) {
        let is_job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if self.terminal.is_there() && is_job_control {
            // SAFETY: the call has no pointers. It returns once SIGCONT has come.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
        }
    }

    fn pass(&mut self, received: Received) {
        let is_passed = match received.signal {
            libc::SIGCHLD => false,
            // The shell sends it to the whole group, so it may have come already.
            libc::SIGCONT => {
                let _ = self.change_if_continued();
                self.is_stopped
            }
            _ => !received.is_of_terminal,
        };
        if is_passed {
            // SAFETY: the call has no pointers. The command is not reaped yet, so the pid is its own.
            unsafe { libc::kill(self.pid, received.signal) };
        }
    }

    /// Notes that it has continued; leaves its end to be found by the next wait.
    fn change_if_continued(&mut self) -> io::Result<()> {
        // SAFETY: the structure is plain data, for which all zeroes are valid.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: the pointer is to a variable that outlives the call.
        let outcome =
            unsafe { libc::waitid(libc::P_PID, self.pid(), &raw mut info, libc::WCONTINUED | libc::WNOHANG) };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        if info.si_code == libc::CLD_CONTINUED {
            self.is_stopped = false;
        }
        Ok(())
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn rusage(used: &libc::rusage) -> Rusage {
    let us = |time: libc::timeval| {
        let (seconds, rest) = (time.tv_sec.cast_unsigned(), time.tv_usec.cast_unsigned());
        seconds.saturating_mul(1_000_000).saturating_add(rest)
    };
    Rusage {
        user_us: us(used.ru_utime),
        system_us: us(used.ru_stime),
        minor_faults: used.ru_minflt.cast_unsigned(),
        major_faults: used.ru_majflt.cast_unsigned(),
        max_rss_kib: used.ru_maxrss.cast_unsigned(),
    }
}
