//! The event loop: tokio, on the thread that calls it.

use std::io;

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

/// The event loop could not be made: descriptors or memory are used up.
#[derive(Debug, Error)]
#[error("starting the event loop: {0}")]
pub struct EventLoopError(#[from] pub io::Error);

/// Makes an event loop with timers and I/O. It needs an epoll descriptor, an eventfd and a pair of sockets.
pub fn start() -> Result<Runtime, EventLoopError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
