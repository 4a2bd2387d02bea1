//! The signals that taskscope gets while a job runs. They are blocked, and read from a signalfd(2), which shows who sent each. A signal of
//! the terminal is not forwarded: the kernel sends it to the whole process group, and so to the command too.
//!
//! No handler is installed, so that a signal that is ignored, as under nohup(1), stays ignored in the command.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::fd;

/// Signals that are passed to the command.
const PASSED: [libc::c_int; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: libc::c_int,
    /// Whether the kernel sent it: the terminal, to the whole process group.
    pub(super) is_of_terminal: bool,
}

/// Blocked signals.
pub(super) struct Signals {
    fd: OwnedFd,
    /// What was blocked before, which the command inherits.
    pub(super) before: libc::sigset_t,
}

impl Signals {
    /// Blocks the signals that are passed, and SIGCHLD; also SIGTTOU, so that taskscope can take its terminal back.
    pub(super) fn block() -> io::Result<Self> {
        // SAFETY: a set of all zeroes is a valid sigset_t, and the calls below fill it.
        let (mut set, mut before): (libc::sigset_t, libc::sigset_t) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        // SAFETY: the pointers are to sets that outlive the calls. With SIGCHLD ignored, the kernel would not keep the command's
        // status; the default disposition has no handler.
        let fd = unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in PASSED {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigaddset(&raw mut set, libc::SIGTTOU);
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            let fd = OwnedFd::from_raw_fd(fd);
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            fd
        };
        Ok(Self { fd, before })
    }

    /// Registers with the event loop.
    pub(super) fn watch(self) -> io::Result<AsyncFd<OwnedFd>> {
        fd::watch(self.fd, Interest::READABLE)
    }
}

/// Returns the next signal that has come; `None` if there is none.
pub(super) fn read(fd: &OwnedFd) -> io::Result<Option<Received>> {
    let size = mem::size_of::<libc::signalfd_siginfo>();
    // SAFETY: the structure holds integers only, for which all zeroes are valid.
    let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
    // SAFETY: the descriptor is open, and the buffer is `size` bytes of `info`.
    let read = unsafe { libc::read(fd.as_raw_fd(), ptr::from_mut(&mut info).cast(), size) };
    if read < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    let signal = libc::c_int::try_from(info.ssi_signo).unwrap_or(0);
    Ok(Some(Received { signal, is_of_terminal: info.ssi_code == libc::SI_KERNEL }))
}
