//! Standard output for commands that wait for its reader on the event loop. It needs no thread, so it works when none can be
//! made.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::fd::{wait_writable, watch, write_now};

/// Standard output of this process.
pub(in crate::cli) struct Stdout {
    /// `None` for files that cannot be waited for: regular files, which are always writable.
    ready: Option<AsyncFd<OwnedFd>>,
}

impl Stdout {
    /// An event loop must be running.
    pub(in crate::cli) fn new() -> Self {
        let own = io::stdout().as_fd().try_clone_to_owned();
        Self { ready: own.and_then(|own| watch(own, Interest::WRITABLE)).ok() }
    }

    /// Writes all of `bytes`.
    pub(in crate::cli) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while let Some(left) = bytes.get(written..).filter(|left| !left.is_empty()) {
            match (write_now(io::stdout(), left), &self.ready) {
                (Ok(count), _) => written += count,
                (Err(error), Some(ready)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = ready.writable().await?;
                    // It may have become writable since.
                    if !wait_writable(io::stdout(), Duration::ZERO)? {
                        ready.clear_ready();
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }
}
