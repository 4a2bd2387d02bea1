//! Decides when the ring is polled next.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{task::yield_now, time::sleep};

use super::{oneshot_epoll::OneshotEpoll, timer_fd::TimerFd};
use crate::runtime::BATCH;

/// The interval of polls if neither the kernel's notification nor a timer works.
const FALL_BACK: Duration = Duration::from_millis(20);

/// What the next poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The kernel's notification that the ring has a record.
    Notified,
    /// The end of the batch delay. Records that arrive in the meantime do not wake the reader.
    AfterDelay,
    /// Nothing, because the last poll found a full batch.
    Now,
}

/// When the ring is polled: after a notification, then after each batch delay until a poll finds nothing.
pub(in crate::runtime) struct PollSchedule {
    epoll: OneshotEpoll,
    batch_delay: TimerFd,
    next: Next,
    /// Whether the log already says that the ring cannot be waited for.
    reported: bool,
}

impl PollSchedule {
    /// Returns a schedule whose first poll waits for a notification.
    pub(in crate::runtime) fn new(ring: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            epoll: OneshotEpoll::new(ring)?,
            batch_delay: TimerFd::new()?,
            next: Next::Notified,
            reported: false,
        })
    }

    /// Waits until the next poll is due. Cancelling the wait loses nothing.
    pub(in crate::runtime) async fn due(&mut self) {
        let waited = match self.next {
            Next::Notified => self.epoll.passed().await,
            Next::AfterDelay => self.batch_delay.rung().await,
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

    /// A poll found this many records. After a poll that found records, the next one waits for `max_batch_delay`; new records do
    /// not wake it.
    pub(in crate::runtime) fn after(&mut self, handled: usize, max_batch_delay: Duration) {
        let (next, set) = match handled {
            0 => (Next::Notified, self.epoll.open()),
            1..BATCH => (Next::AfterDelay, self.batch_delay.after(max_batch_delay)),
            _ => (Next::Now, Ok(())),
        };
        self.next = next;
        if let Err(error) = set {
            self.complain(&error);
            // The next poll shows whether there are records, and so what to wait for.
            self.next = Next::Now;
        }
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
    use std::{
        io::{Read as _, Write as _},
        time::Instant,
    };

    use super::*;

    const MAX_BATCH_DELAY: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn records_in_a_batch_delay_wait_for_its_end_and_the_next_after_it_does_not() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.try_clone()?.into())?;
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
    async fn after_a_whole_batch_the_next_poll_waits_for_nothing() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut schedule = PollSchedule::new(reader.into())?;
        schedule.after(BATCH, Duration::from_secs(3600));
        schedule.due().await;
        Ok(())
    }
}
