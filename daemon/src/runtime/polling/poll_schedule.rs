//! Decides when the ring is polled next.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use tokio::{select, task::yield_now, time::sleep};

use super::{load::Load, oneshot_epoll::OneshotEpoll, timer_fd::TimerFd};
use crate::kernel::wake_ups::WakeUps;

/// The most records that are handled before timers, signals and sinks get a turn. The effects of this many records fit into the
/// CPU's cache.
pub(in crate::runtime) const BATCH: usize = 512;

/// The interval of polls if neither the kernel's notification nor a timer works.
const FALL_BACK: Duration = Duration::from_millis(20);

/// The longest batch delay during which nothing wakes up the daemon. A longer delay ends early for urgent records and when the ring
/// fills up, but not before this time, so that a storm of urgent records causes no more polls than other records do.
const UNDISTURBED: Duration = Duration::from_millis(10);

/// While the host is not busy, a short delay is this many times as long: a process that starts or ends causes several records within a
/// few milliseconds, and one wake-up costs more than many records.
const RELAXED: u32 = 3;

/// What the next poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The kernel's notification that the ring has a record.
    Notified,
    /// The end of the batch delay. Records that arrive in the meantime do not wake the reader.
    AfterDelay,
    /// The end of the batch delay, or an urgent record.
    DelayedOrWoken,
    /// Nothing, because the last poll found a full batch.
    Now,
}

/// When the ring is polled: after a notification, then after each batch delay until a poll finds nothing.
pub(in crate::runtime) struct PollSchedule {
    epoll: OneshotEpoll,
    batch_delay: TimerFd,
    next: Next,
    /// Selects the records that wake up the reader; `None` if that cannot be selected.
    wake_ups: Option<WakeUps>,
    /// Whether only urgent records wake up the reader now.
    only_urgent: bool,
    load: Load,
    /// When the last poll found records.
    polled: Instant,
    /// Whether the log already says that the ring cannot be waited for.
    reported: bool,
}

impl PollSchedule {
    /// Returns a schedule whose first poll waits for a notification.
    pub(in crate::runtime) fn new(ring: OwnedFd, wake_ups: Option<WakeUps>) -> io::Result<Self> {
        Ok(Self {
            epoll: OneshotEpoll::new(ring)?,
            batch_delay: TimerFd::new()?,
            next: Next::Notified,
            wake_ups,
            only_urgent: false,
            load: Load::new(),
            polled: Instant::now(),
            reported: false,
        })
    }

    /// Waits until the next poll is due. Cancelling the wait loses nothing.
    pub(in crate::runtime) async fn due(&mut self) {
        let waited = match self.next {
            Next::Notified => self.epoll.passed().await,
            Next::AfterDelay => self.batch_delay.rung().await,
            Next::DelayedOrWoken => self.delayed_or_woken().await,
            Next::Now => {
                // Timers, signals and sinks get a turn.
                yield_now().await;
                Ok(())
            }
        };
        if let Err(error) = waited {
            self.complain(&error);
            sleep(FALL_BACK).await;
        }
    }

    async fn delayed_or_woken(&mut self) -> io::Result<()> {
        select! {
            delayed = self.batch_delay.rung() => return delayed,
            woken = self.epoll.passed() => woken?,
        }
        let left = UNDISTURBED.saturating_sub(self.polled.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        self.batch_delay.after(left)?;
        self.next = Next::AfterDelay;
        self.batch_delay.rung().await
    }

    /// Sets what the next poll waits for, after a poll that found `handled` records. If it found some, the next poll waits for
    /// `max_batch_delay`, a short one three times if the host is not busy, and new records do not end the wait.
    pub(in crate::runtime) fn after(&mut self, handled: usize, max_batch_delay: Duration) {
        let (next, set) = match handled {
            0 => self.after_none(),
            1..BATCH if max_batch_delay <= UNDISTURBED && !self.load.is_busy_after(handled) => {
                self.after_some((max_batch_delay * RELAXED).min(UNDISTURBED))
            }
            1..BATCH => self.after_some(max_batch_delay),
            _ => (Next::Now, Ok(())),
        };
        self.next = next;
        if let Err(error) = set {
            self.complain(&error);
            // The next poll shows whether there are records, and so what to wait for.
            self.next = Next::Now;
        }
    }

    /// Polls at once if the sink now allows only a short delay, such as after a reader has joined.
    pub(in crate::runtime) fn follow(&mut self, max_batch_delay: Duration) {
        if self.next == Next::DelayedOrWoken && max_batch_delay <= UNDISTURBED {
            self.next = Next::Now;
        }
    }

    fn after_none(&mut self) -> (Next, io::Result<()>) {
        match &self.wake_ups {
            Some(wake_ups) if self.only_urgent => {
                wake_ups.any();
                self.only_urgent = false;
                // A record may have arrived meanwhile without waking up the reader, so poll once more.
                (Next::Now, Ok(()))
            }
            _ => (Next::Notified, self.epoll.open()),
        }
    }

    fn after_some(&mut self, max_batch_delay: Duration) -> (Next, io::Result<()>) {
        let is_long = max_batch_delay > UNDISTURBED;
        let Some(wake_ups) = &self.wake_ups else {
            return (Next::AfterDelay, self.batch_delay.after(max_batch_delay.min(UNDISTURBED)));
        };
        if is_long != self.only_urgent {
            if is_long {
                wake_ups.only_urgent();
            } else {
                wake_ups.any();
            }
            self.only_urgent = is_long;
        }
        if !is_long {
            let set = self.epoll.open_for_one().and_then(|()| self.batch_delay.after(max_batch_delay));
            return (Next::AfterDelay, set);
        }
        self.polled = Instant::now();
        let set = self.epoll.open_for_each().and_then(|()| self.batch_delay.after(max_batch_delay));
        (Next::DelayedOrWoken, set)
    }

    /// Logs the error once. The ring is polled at an interval.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.reported, true) {
            log::error!(
                "waiting for the ring buffer: {error}; it is polled every {} ms",
                FALL_BACK.as_millis()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    const MAX_BATCH_DELAY: Duration = UNDISTURBED;
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn records_in_a_batch_delay_wait_for_its_end_and_the_next_after_it_does_not() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.try_clone()?.into(), None)?;
        writer.write_all(b"a")?;
        schedule.due().await;
        let start = Instant::now();
        schedule.after(1, MAX_BATCH_DELAY);
        writer.write_all(b"b")?;
        schedule.due().await;
        assert!(start.elapsed() >= MAX_BATCH_DELAY);
        // The ring is empty, so the schedule waits for a notification, and none comes.
        reader.read_exact(&mut [0; 2])?;
        schedule.after(0, MAX_BATCH_DELAY);
        assert!(tokio::time::timeout(MAX_BATCH_DELAY, schedule.due()).await.is_err());
        writer.write_all(b"c")?;
        schedule.due().await;
        Ok(())
    }

    #[tokio::test]
    async fn the_delay_is_longer_unless_the_host_is_busy() -> io::Result<()> {
        const DELAY: Duration = Duration::from_millis(3);
        let (mut reader, mut writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.try_clone()?.into(), Some(WakeUps::detached()))?;
        for (found, at_least) in [(1, DELAY * RELAXED), (BATCH - 1, DELAY)] {
            let start = Instant::now();
            schedule.after(found, DELAY);
            writer.write_all(b"a")?;
            schedule.due().await;
            assert!(start.elapsed() >= at_least);
            reader.read_exact(&mut [0; 1])?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn after_a_whole_batch_the_next_poll_waits_for_nothing() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.into(), None)?;
        schedule.after(BATCH, LONG);
        schedule.due().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_long_rest_ends_early_for_what_wakes_up_but_not_at_once() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.try_clone()?.into(), Some(WakeUps::detached()))?;
        writer.write_all(b"a")?;
        schedule.due().await;
        reader.read_exact(&mut [0; 1])?;
        let start = Instant::now();
        schedule.after(1, LONG);
        writer.write_all(b"b")?;
        schedule.due().await;
        assert!(start.elapsed() >= UNDISTURBED);
        // Nothing was found, so each record wakes up the reader again; one more poll finds a record that arrived before that.
        schedule.after(0, LONG);
        schedule.due().await;
        schedule.after(0, LONG);
        schedule.due().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_long_delay_ends_when_the_sink_accepts_less_delay() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.try_clone()?.into(), Some(WakeUps::detached()))?;
        writer.write_all(b"a")?;
        schedule.due().await;
        reader.read_exact(&mut [0; 1])?;
        schedule.after(1, LONG);
        schedule.follow(LONG);
        assert!(tokio::time::timeout(MAX_BATCH_DELAY, schedule.due()).await.is_err());
        schedule.follow(MAX_BATCH_DELAY);
        schedule.due().await;
        // Each record wakes up the reader again, after one more poll.
        schedule.after(0, MAX_BATCH_DELAY);
        schedule.due().await;
        schedule.after(0, MAX_BATCH_DELAY);
        writer.write_all(b"b")?;
        schedule.due().await;
        Ok(())
    }

    #[tokio::test]
    async fn without_wake_ups_that_are_chosen_no_rest_is_long() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.into(), None)?;
        schedule.after(1, LONG);
        schedule.due().await;
        Ok(())
    }
}
