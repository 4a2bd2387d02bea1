//! Decides when the ring is polled, and waits until then.
//!
//! - `poll_schedule`: after a notification, then after each batch delay until a poll finds nothing
//! - `load`: whether the host is busy
//! - `oneshot_epoll`: waits for one notification of the ring at a time
//! - `timer_fd`: timers by `timerfd_create(2)`, which are more exact than those of the event loop

mod load;
mod oneshot_epoll;
pub(super) mod poll_schedule;
pub(super) mod timer_fd;
