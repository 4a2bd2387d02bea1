//! Timers of the kernel's (`timerfd_create(2)`), in place of the event loop's: those count in whole milliseconds, round up twice,
//! and wake up once more on the way to a time that is far.

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

/// One timer.
pub(super) struct TimerFd {
    timer: AsyncFd<OwnedFd>,
}

impl TimerFd {
    /// Not set: it never rings.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: watch(timer, Interest::READABLE)? })
    }

    /// Rings at once, and again and again after `time`. Rings that nobody waited for are one.
    pub(super) fn every(time: Duration) -> io::Result<Self> {
        let alarm = Self::new()?;
        alarm.set(Duration::from_nanos(1), time)?;
        Ok(alarm)
    }

    /// Rings once, after `time`.
    pub(super) fn after(&self, time: Duration) -> io::Result<()> {
        self.set(time, Duration::ZERO)
    }

    /// Waits until it rings.
    pub(super) async fn rung(&self) -> io::Result<()> {
        failpoint::check(Point::TimerWait)?;
        loop {
            let mut ready = self.timer.readable().await?;
            // One that rings again and again is set anew by being read.
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
            // It is not ready again before it rings again: asked at once, it would be read for nothing.
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

/// A timer that goes on whatever happens to the kernel's: where that cannot be waited for, by the event loop's own.
pub(super) struct Ticks {
    alarm: TimerFd,
    every: Duration,
    /// When the next one is due at the latest: others may be waited for first, again and again.
    next: Instant,
    told: bool,
}

impl Ticks {
    pub(super) fn every(time: Duration) -> io::Result<Self> {
        Ok(Self { alarm: TimerFd::every(time)?, every: time, next: Instant::now() + time, told: false })
    }

    /// Waits for the next one. Nothing is lost when it is not waited for to the end.
    pub(super) async fn due(&mut self) {
        if let Err(error) = self.alarm.rung().await {
            if !std::mem::replace(&mut self.told, true) {
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
        let alarm = TimerFd::new()?;
        for _ in 0..20 {
            let start = Instant::now();
            alarm.after(Duration::from_micros(300))?;
            alarm.rung().await?;
            assert!(start.elapsed() >= Duration::from_micros(300));
        }
        Ok(())
    }

    #[tokio::test]
    async fn it_rings_again_and_again() -> io::Result<()> {
        let start = Instant::now();
        let alarm = TimerFd::every(Duration::from_millis(2))?;
        for _ in 0..20 {
            alarm.rung().await?;
        }
        // Unless this test was kept from running: then some rings are one, and it takes longer.
        assert!(start.elapsed() >= Duration::from_millis(38));
        Ok(())
    }
}
