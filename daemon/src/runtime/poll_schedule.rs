//! Decides when the ring is polled next.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{task::yield_now, time::sleep};

use super::{BATCH, oneshot_epoll::OneshotEpoll, timer_fd::TimerFd};

/// Interval of polls where neither the kernel's notification nor a timer can be waited for.
const FALL_BACK: Duration = Duration::from_millis(20);

/// What the next poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The kernel's notification that the ring has a record.
    Notified,
    /// The end of the batch delay. Records that arrive in the meantime wake nobody.
    Rested,
    /// Nothing: the last poll found a whole batch.
    Now,
}

/// When the ring is polled: after a notification, then after each batch delay until a poll finds nothing.
pub(super) struct PollSchedule {
    gate: OneshotEpoll,
    rest: TimerFd,
    next: Next,
    /// Whether the log already says that the ring cannot be waited for.
    told: bool,
}

impl PollSchedule {
    /// The first poll waits for a notification.
    pub(super) fn new(ring: OwnedFd) -> io::Result<Self> {
        Ok(Self { gate: OneshotEpoll::new(ring)?, rest: TimerFd::new()?, next: Next::Notified, told: false })
    }

    /// Waits until the next poll is due. Cancelling the wait loses nothing.
    pub(super) async fn due(&mut self) {
        let waited = match self.next {
            Next::Notified => self.gate.passed().await,
            Next::Rested => self.rest.rung().await,
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
    pub(super) fn after(&mut self, handled: usize, max_batch_delay: Duration) {
        let (next, set) = match handled {
            0 => (Next::Notified, self.gate.open()),
            1..BATCH => (Next::Rested, self.rest.after(max_batch_delay)),
            _ => (Next::Now, Ok(())),
        };
        self.next = next;
        if let Err(error) = set {
            self.complain(&error);
            // The next poll finds out what there is, and what can be waited for then.
            self.next = Next::Now;
        }
    }

    /// Logs this once. The ring is polled all the same.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            log::error!(
                "waiting for the ring buffer: {error}; it is looked at every {} ms",
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
    async fn what_comes_in_a_rest_waits_for_its_end_and_the_next_after_it_does_not() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut looks = PollSchedule::new(reader.try_clone()?.into())?;
        writer.write_all(b"a")?;
        looks.due().await;
        let start = Instant::now();
        looks.after(1, MAX_BATCH_DELAY);
        writer.write_all(b"b")?;
        looks.due().await;
        assert!(start.elapsed() >= MAX_BATCH_DELAY);
        // Nothing is left: the notification is waited for, and there is none.
        reader.read_exact(&mut [0; 2])?;
        looks.after(0, MAX_BATCH_DELAY);
        assert!(tokio::time::timeout(MAX_BATCH_DELAY, looks.due()).await.is_err());
        writer.write_all(b"c")?;
        looks.due().await;
        Ok(())
    }

    #[tokio::test]
    async fn after_a_whole_batch_the_next_look_waits_for_nothing() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut looks = PollSchedule::new(reader.into())?;
        looks.after(BATCH, Duration::from_secs(3600));
        looks.due().await;
        Ok(())
    }
}
