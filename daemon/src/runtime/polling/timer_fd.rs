//! Timers by `timerfd_create(2)`. The event loop's own timers have a resolution of a millisecond, round up twice, and wake up
//! once in between if the deadline is far.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use crate::{
    failpoint::{self, Point},
    fd::watch,
};

/// A timer.
pub(super) struct TimerFd {
    timer: AsyncFd<OwnedFd>,
}

impl TimerFd {
    /// Returns a timer that is not set and never fires.
    pub(in crate::runtime) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: watch(timer, Interest::READABLE)? })
    }

    /// Returns a timer that fires at once and then every `time`. Firings that no caller waited for count as one.
    pub(in crate::runtime) fn every(time: Duration) -> io::Result<Self> {
        let timer = Self::new()?;
        timer.set(Duration::from_nanos(1), time)?;
        Ok(timer)
    }

    /// Sets the timer to fire once, after `time`.
    pub(in crate::runtime) fn after(&self, time: Duration) -> io::Result<()> {
        self.set(time, Duration::ZERO)
    }

    /// Waits until it fires.
    pub(super) async fn rung(&self) -> io::Result<()> {
        failpoint::check(Point::TimerWait)?;
        loop {
            let mut ready = self.timer.readable().await?;
            // Reading rearms a timer that fires repeatedly.
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
            // The timer is not readable before it fires again, so do not try to read it until then.
            ready.clear_ready();
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }

    fn set(&self, first: Duration, then: Duration) -> io::Result<()> {
        let times = Itimerspec { it_interval: timespec(then)?, it_value: timespec(first)? };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }
}

/// A repeating timer. If waiting for its timerfd fails, it uses the event loop's own timer.
pub(in crate::runtime) struct Ticks {
    timer: TimerFd,
    every: Duration,
    /// When the event loop's timer fires if the timerfd cannot be waited for. It is stored here because `select!` starts the wait
    /// again each time another branch is ready first.
    next: Instant,
    reported: bool,
}

impl Ticks {
    pub(in crate::runtime) fn every(time: Duration) -> io::Result<Self> {
        Ok(Self { timer: TimerFd::every(time)?, every: time, next: Instant::now() + time, reported: false })
    }

    /// Waits for the next firing. Cancelling the wait loses nothing.
    pub(in crate::runtime) async fn due(&mut self) {
        if let Err(error) = self.timer.rung().await {
            if !std::mem::replace(&mut self.reported, true) {
                log::error!("waiting for a timer (timerfd): {error}; the event loop's own is used");
            }
            sleep_until(self.next).await;
        }
        self.next = Instant::now() + self.every;
    }
}

fn timespec(time: Duration) -> io::Result<Timespec> {
    Timespec::try_from(time).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_when_the_time_is_over_each_time() -> io::Result<()> {
        let timer = TimerFd::new()?;
        for _ in 0..20 {
            let start = Instant::now();
            timer.after(Duration::from_micros(300))?;
            timer.rung().await?;
            assert!(start.elapsed() >= Duration::from_micros(300));
        }
        Ok(())
    }

    #[tokio::test]
    async fn it_rings_again_and_again() -> io::Result<()> {
        let start = Instant::now();
        let timer = TimerFd::every(Duration::from_millis(2))?;
        for _ in 0..20 {
            timer.rung().await?;
        }
        // If the test did not run for a while, several firings count as one, and the test takes longer.
        assert!(start.elapsed() >= Duration::from_millis(38));
        Ok(())
    }
}
