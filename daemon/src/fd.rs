//! File descriptors: waiting for one on the event loop, writing without waiting, and holding some in reserve.

pub mod spare;
mod write;

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

pub use self::write::{wait_writable, write_now};

/// Registers `fd` with the event loop.
///
/// Errors: `EPERM` for a file that cannot be waited for, such as a regular one (`epoll_ctl(2)`).
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is a valid descriptor that stays open, and the same, for as long as it lives; the `AsyncFd` owns it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(registered?)
}
