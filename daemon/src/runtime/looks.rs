//! When the ring is looked at next.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::task::yield_now;

use super::{BATCH, alarm::Alarm, gate::Gate};

/// What the next look at the ring waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The kernel's word that there is something.
    Notified,
    /// The end of a rest. Whatever comes meanwhile wakes nobody up.
    Rested,
    /// Nothing: a whole batch was found.
    Now,
}

/// Looks at the ring: one when something comes, then one after each rest until one finds nothing.
pub(super) struct Looks {
    gate: Gate,
    rest: Alarm,
    next: Next,
}

impl Looks {
    /// The first look is due when there is something in the ring.
    pub(super) fn new(ring: OwnedFd) -> io::Result<Self> {
        Ok(Self { gate: Gate::new(ring)?, rest: Alarm::new()?, next: Next::Notified })
    }

    /// Waits until the next look is due. Nothing is lost when it is not waited for to the end.
    pub(super) async fn due(&self) -> io::Result<()> {
        match self.next {
            Next::Notified => self.gate.passed().await,
            Next::Rested => self.rest.rung().await,
            Next::Now => {
                // Others have their turn.
                yield_now().await;
                Ok(())
            }
        }
    }

    /// A look found this many records; if there are more to come, they may wait for so long.
    pub(super) fn after(&mut self, handled: usize, patience: Duration) -> io::Result<()> {
        self.next = match handled {
            0 => {
                self.gate.open()?;
                Next::Notified
            }
            1..BATCH => {
                self.rest.after(patience)?;
                Next::Rested
            }
            _ => Next::Now,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_comes_in_a_rest_waits_for_its_end_and_the_next_after_it_does_not() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut looks = Looks::new(reader.try_clone()?.into())?;
        writer.write_all(b"a")?;
        looks.due().await?;
        let start = Instant::now();
        looks.after(1, PATIENCE)?;
        writer.write_all(b"b")?;
        looks.due().await?;
        assert!(start.elapsed() >= PATIENCE);
        // Nothing is left: the kernel's word is waited for, and there is none.
        reader.read_exact(&mut [0; 2])?;
        looks.after(0, PATIENCE)?;
        assert!(tokio::time::timeout(PATIENCE, looks.due()).await.is_err());
        writer.write_all(b"c")?;
        looks.due().await
    }

    #[tokio::test]
    async fn after_a_whole_batch_the_next_look_waits_for_nothing() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut looks = Looks::new(reader.into())?;
        looks.after(BATCH, Duration::from_secs(3600))?;
        looks.due().await
    }
}
