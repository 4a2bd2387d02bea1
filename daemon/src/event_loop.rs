//! The event loop: tokio, on the thread that calls it.

use std::{io, time::Duration};

use thiserror::Error;
use tokio::{
    runtime::{Builder, Runtime},
    time::Interval,
};

/// The shortest period of [`every`].
const SHORTEST: Duration = Duration::from_millis(10);

/// The event loop could not be created: descriptors or memory are used up.
#[derive(Debug, Error)]
#[error("starting the event loop: {0}")]
pub struct EventLoopError(#[from] pub io::Error);

/// Creates an event loop with timers and I/O. It needs an epoll descriptor, an eventfd and a pair of sockets.
pub fn start() -> Result<Runtime, EventLoopError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Ticks at once, and then each time a period has passed; one shorter than 10 ms counts as that.
#[must_use]
pub fn every(period: Duration) -> Interval {
    #[expect(clippy::disallowed_methods, reason = "the period is not 0")]
    tokio::time::interval(period.max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_period_of_nothing_is_a_short_one() {
        let mut timer = every(Duration::ZERO);
        timer.tick().await;
        assert_eq!(timer.period(), SHORTEST);
    }
}
