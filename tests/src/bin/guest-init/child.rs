//! Running one program as process 1: its output, its end, its deadline, and everybody's orphans meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::orphans;

/// Longest line held back while its end has not been written.
const LINE_MAX: usize = 8 * 1024;
/// How long killed processes may take to go.
const KILL_GRACE: Duration = Duration::from_secs(10);

static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Wakes the one loop of this process at each SIGCHLD, so that orphans are reaped at once.
pub(crate) struct Reaper {
    wake: File,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Exited(i32),
    Signaled(i32),
    TimedOut,
}

/// A program that ended, and what it left running.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) elapsed: Duration,
    pub(crate) leftovers: Vec<String>,
}

impl Reaper {
    pub(crate) fn install() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: eventfd gave this descriptor and nobody else owns it.
        let wake = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        WAKE.store(fd, Ordering::Relaxed);
        // A handler and not a blocked signal: handlers end at exec, a blocked mask would reach the tests.
        // SAFETY: sigaction is plain data for which zeroes are valid; the handler only writes to an eventfd.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_child as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
            if libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { wake })
    }

    /// Runs `command` to its end or to the deadline, hands on its output line by line, and leaves no process
    /// of it behind.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        timeout: Duration,
        on_line: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Finished> {
        let started = Instant::now();
        let (reader, writer) = io::pipe().context("making a pipe")?;
        nonblocking(&reader).context("setting the pipe to non-blocking")?;
        let second = writer.try_clone().context("cloning the pipe")?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(second)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child.id().cast_signed();
        // The command keeps the write ends open until it is dropped or given others.
        command.stdout(Stdio::null()).stderr(Stdio::null());

        let mut lines = Lines { reader, open: true, pending: Vec::new() };
        let mut status = None;
        while status.is_none() {
            let Some(rest) = timeout.checked_sub(started.elapsed()) else { break };
            self.wait(&lines, rest)?;
            lines.pump(on_line)?;
            reap(pid, &mut status);
        }
        let elapsed = started.elapsed();
        lines.pump(on_line)?;
        let leftovers = orphans::describe();
        let mut end = status;
        self.clear(pid, &mut end)?;
        lines.finish(on_line)?;
        Ok(Finished { outcome: status.map_or(Outcome::TimedOut, decode), elapsed, leftovers })
    }

    /// Sleeps until there is output, a dead child, or no time left.
    fn wait(&self, lines: &Lines, rest: Duration) -> anyhow::Result<()> {
        let watch = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // poll(2) passes over negative descriptors: a closed pipe must not wake the loop for ever.
        let output = if lines.open { lines.reader.as_raw_fd() } else { -1 };
        let mut fds = [watch(self.wake.as_raw_fd()), watch(output)];
        let millis = i32::try_from(rest.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        // SAFETY: the array and its length belong together and outlive the call.
        if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error).context("waiting for a child");
            }
        }
        let mut count = [0; 8];
        // Nothing to read means that the wake-up was not a SIGCHLD.
        let _ = (&self.wake).read(&mut count);
        Ok(())
    }

    /// Kills and reaps what is left of the program, so that the next one starts on a quiet machine.
    fn clear(&self, watched: i32, status: &mut Option<i32>) -> anyhow::Result<()> {
        let started = Instant::now();
        let nothing = Lines::closed()?;
        while reap(watched, status) {
            orphans::kill_all();
            let rest = KILL_GRACE.saturating_sub(started.elapsed());
            if rest.is_zero() {
                anyhow::bail!("processes survive SIGKILL: {}", orphans::describe().join("; "));
            }
            self.wait(&nothing, rest)?;
        }
        Ok(())
    }
}

/// Reaps all that is dead, orphans too; returns whether children are left.
fn reap(watched: i32, status: &mut Option<i32>) -> bool {
    loop {
        let mut raw = 0;
        // SAFETY: `raw` is a valid place for the status.
        match unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) } {
            0 => return true,
            pid if pid < 0 => return false,
            pid if pid == watched => *status = Some(raw),
            _ => {}
        }
    }
}

extern "C" fn on_child(_signal: libc::c_int) {
    let one = 1_u64;
    // SAFETY: write is async-signal-safe; errno is put back for the code that was interrupted.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WAKE.load(Ordering::Relaxed), (&raw const one).cast(), 8);
        *libc::__errno_location() = errno;
    }
}

fn decode(raw: i32) -> Outcome {
    if libc::WIFSIGNALED(raw) {
        Outcome::Signaled(libc::WTERMSIG(raw))
    } else {
        Outcome::Exited(libc::WEXITSTATUS(raw))
    }
}

fn nonblocking(reader: &io::PipeReader) -> io::Result<()> {
    // SAFETY: an open descriptor and an integer argument.
    if unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Cuts the output of a program into lines.
struct Lines {
    reader: io::PipeReader,
    open: bool,
    pending: Vec<u8>,
}

impl Lines {
    fn closed() -> anyhow::Result<Self> {
        let (reader, _) = io::pipe().context("making a pipe")?;
        Ok(Self { reader, open: false, pending: Vec::new() })
    }

    /// Hands on what is there now.
    fn pump(&mut self, on_line: &mut dyn FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        while self.open {
            match self.reader.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => {
                    self.pending.extend_from_slice(&buffer[..count]);
                    self.cut(on_line)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading a program's output"),
            }
        }
        Ok(())
    }

    fn cut(&mut self, on_line: &mut dyn FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(end) = self
            .pending
            .iter()
            .position(|&byte| byte == b'\n')
            .or_else(|| (self.pending.len() > LINE_MAX).then_some(LINE_MAX))
        {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            on_line(String::from_utf8_lossy(&line).trim_end_matches('\n'))?;
        }
        Ok(())
    }

    fn finish(mut self, on_line: &mut dyn FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.pump(on_line)?;
        if !self.pending.is_empty() {
            on_line(&String::from_utf8_lossy(&self.pending))?;
        }
        Ok(())
    }
}
