//! The terminal of a job. The command stays in taskscope's process group, so the terminal is the command's as it was taskscope's:
//! in `taskscope job -- a | b`, a group of its own would take the terminal from `b`.

use std::os::fd::{AsRawFd as _, OwnedFd};

/// The controlling terminal, if taskscope is in its foreground.
pub(super) struct Terminal(Option<OwnedFd>);

impl Terminal {
    /// Opens it.
    pub(super) fn open() -> Self {
        let terminal =
            std::fs::File::options().read(true).write(true).open("/dev/tty").ok().map(OwnedFd::from);
        Self(terminal.filter(|terminal| foreground(terminal) == own_group()))
    }

    /// Whether there is one.
    pub(super) const fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Takes it back from a process group that is gone: a shell that was killed did not give it back.
    pub(super) fn take_back(&self) {
        let Some(terminal) = &self.0 else { return };
        let group = foreground(terminal);
        // SAFETY: kill(2) with signal 0 only checks whether there is such a group.
        let is_gone = group > 0 && unsafe { libc::kill(-group, 0) } < 0;
        if group != own_group() && is_gone {
            // SAFETY: the descriptor is open; SIGTTOU is blocked, so the call does not stop this process.
            unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), own_group()) };
        }
    }
}

fn foreground(terminal: &OwnedFd) -> libc::pid_t {
    // SAFETY: the descriptor is open.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) }
}

fn own_group() -> libc::pid_t {
    // SAFETY: the call has no arguments and always succeeds.
    unsafe { libc::getpgrp() }
}
