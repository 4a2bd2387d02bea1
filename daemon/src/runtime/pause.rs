//! A rest shorter than the event loop's timers can give: those count in whole milliseconds and round up, twice.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::fd::watch;

/// One timer of the kernel's (`timerfd_create(2)`).
pub(super) struct Pause {
    timer: AsyncFd<OwnedFd>,
}

impl Pause {
    /// Not resting.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: watch(timer, Interest::READABLE)? })
    }

    /// Rests for less than a second.
    pub(super) async fn rest(&mut self, time: Duration) -> io::Result<()> {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        // Setting it also takes back that it has rung before, so it need never be read.
        let once = Itimerspec { it_interval: nothing, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        self.timer.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_rest_is_at_least_as_long_as_asked_for_each_time() -> io::Result<()> {
        let mut pause = Pause::new()?;
        for _ in 0..20 {
            let start = Instant::now();
            pause.rest(Duration::from_micros(300)).await?;
            assert!(start.elapsed() >= Duration::from_micros(300));
        }
        Ok(())
    }
}
