//! Runs programs as process 1: reads their output, enforces their deadlines, and reaps them and all orphans.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::orphans::{self, Tag};
use crate::output::Output;

/// How long killed processes may take to end.
const KILL_GRACE: Duration = Duration::from_secs(20);
/// How often to check whether killed processes are gone: not all of them are children of this process.
const CLEARING_TURN: Duration = Duration::from_millis(10);

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

/// A program, from its start until its last process has ended.
pub(crate) struct Child {
    pid: i32,
    tag: Tag,
    output: Output,
    started: Instant,
    /// The time from which the deadline counts.
    progressed: Instant,
    timeout: Duration,
    reaped: Option<Outcome>,
    ended: Option<Ended>,
    over: bool,
    /// Lines of output that were not read yet.
    pub(crate) lines: Vec<String>,
}

/// How a program ended, and what it left running.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
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
        // SAFETY: the call has just created this descriptor, and nothing else owns it.
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

    /// Sleeps until one of `children` has output, ends, or reaches its deadline, and handles that: one turn of the loop.
    pub(crate) fn turn(&self, children: &mut [&mut Child]) -> anyhow::Result<()> {
        self.wait(children)?;
        for child in &mut *children {
            child.output.pump(&mut child.lines)?;
        }
        reap(|pid, outcome| {
            if let Some(child) = children.iter_mut().find(|child| child.pid == pid) {
                child.reaped = Some(outcome);
            }
        });
        for child in children {
            child.advance()?;
        }
        Ok(())
    }

    /// Kills and reaps all processes, so that the next program starts on a quiet machine.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while reap(|_, _| {}) {
            orphans::kill_all();
            if started.elapsed() > KILL_GRACE {
                anyhow::bail!("processes survive SIGKILL: {}", orphans::describe(None).join("; "));
            }
            self.sleep(&mut [], CLEARING_TURN)?;
        }
        Ok(())
    }

    fn wait(&self, children: &[&mut Child]) -> anyhow::Result<()> {
        let rest = children.iter().map(|child| child.time_left()).min().unwrap_or(CLEARING_TURN);
        let mut outputs: Vec<_> = children.iter().map(|child| watch(child.output.descriptor())).collect();
        self.sleep(&mut outputs, rest)
    }

    fn sleep(&self, outputs: &mut [libc::pollfd], rest: Duration) -> anyhow::Result<()> {
        let mut fds = vec![watch(self.wake.as_raw_fd())];
        fds.extend_from_slice(outputs);
        let millis = i32::try_from(rest.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        // SAFETY: the length is that of the list, which outlives the call.
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
}

impl Child {
    /// Starts `command` in a process group of its own, its stdout and stderr in one pipe.
    pub(crate) fn start(command: &mut Command, timeout: Duration) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let tag = Tag(COUNT.fetch_add(1, Ordering::Relaxed));
        let name = command.get_program().to_string_lossy().into_owned();
        let (reader, writer) = io::pipe().context("making a pipe")?;
        let second = writer.try_clone().context("cloning the pipe")?;
        let output = Output::new(reader).context("setting the pipe to non-blocking")?;
        tag.put(command);
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(second)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        // The command keeps the write ends open until it is dropped or given others.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self {
            pid: child.id().cast_signed(),
            tag,
            output,
            started,
            progressed: started,
            timeout,
            reaped: None,
            ended: None,
            over: false,
            lines: Vec::new(),
        })
    }

    /// Restarts its deadline: one of its steps is done.
    pub(crate) fn progressed(&mut self) {
        self.progressed = Instant::now();
    }

    /// Returns how it ended, once its last process is gone.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref().filter(|_| self.over)
    }

    /// Returns how long the child need not be checked.
    fn time_left(&self) -> Duration {
        if self.ended.is_some() {
            CLEARING_TURN
        } else {
            self.timeout.saturating_sub(self.progressed.elapsed())
        }
    }

    /// Moves the child through its states: running, ended by itself or by its deadline, and over once its last process is gone.
    fn advance(&mut self) -> anyhow::Result<()> {
        let elapsed = self.started.elapsed();
        let Some(ended) = &self.ended else {
            let late = (self.progressed.elapsed() >= self.timeout).then_some(Outcome::TimedOut);
            let Some(outcome) = self.reaped.or(late) else { return Ok(()) };
            let leftovers = orphans::describe(Some(self.tag));
            self.ended = Some(Ended { outcome, elapsed, leftovers });
            return self.advance();
        };
        if self.over {
            return Ok(());
        }
        if orphans::kill(self.tag) > 0 || self.reaped.is_none() {
            if elapsed.saturating_sub(ended.elapsed) > KILL_GRACE {
                let who = orphans::describe(Some(self.tag)).join("; ");
                anyhow::bail!("processes survive SIGKILL: {who}");
            }
            return Ok(());
        }
        self.over = true;
        self.output.finish(&mut self.lines)
    }
}

fn watch(fd: i32) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Reaps all dead children and orphans; returns whether children are left.
fn reap(mut of: impl FnMut(i32, Outcome)) -> bool {
    loop {
        let mut raw = 0;
        // SAFETY: `raw` is a valid place for the status.
        match unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) } {
            0 => return true,
            pid if pid < 0 => return false,
            pid => of(pid, decode(raw)),
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
