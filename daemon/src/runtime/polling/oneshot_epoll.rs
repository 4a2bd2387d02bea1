//! Waits for the ring, one notification at a time.
//!
//! The kernel notifies the reader of each record that finds the ring empty. During the batch delay such a wake-up is useless,
//! because the reader polls the ring after it anyway. So the ring is registered with an epoll instance (`epoll_create1(2)`) of its
//! own, for one notification at a time (`EPOLLONESHOT`), and that instance is registered with the event loop.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    failpoint::{self, Point},
    fd::watch,
};

/// An epoll instance that gives one notification, then none until it is armed again.
const ONCE: EventFlags = EventFlags::IN.union(EventFlags::ONESHOT);

/// An epoll instance that gives a notification for each wake-up.
const EACH: EventFlags = EventFlags::IN.union(EventFlags::ET);

/// The descriptor that the event loop waits for.
pub(super) struct OneshotEpoll {
    epoll: AsyncFd<OwnedFd>,
    behind: OwnedFd,
    /// Whether it is armed for every wake-up.
    is_open_for_each: bool,
}

impl OneshotEpoll {
    /// Returns an armed instance: if the ring has records already, it notifies at once.
    pub(in crate::runtime) fn new(behind: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &behind, EventData::new_u64(0), ONCE)?;
        Ok(Self { epoll: watch(epoll, Interest::READABLE)?, behind, is_open_for_each: false })
    }

    /// Waits for the notification, which disarms the instance. While the instance is disarmed, this waits until it is armed and a
    /// record arrives.
    pub(super) async fn passed(&self) -> io::Result<()> {
        failpoint::check(Point::RingWait)?;
        loop {
            let mut ready = self.epoll.readable().await?;
            // Taking the notification disarms it.
            let mut taken = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let count = match epoll::wait(self.epoll.get_ref(), &mut taken[..], Some(&at_once)) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            ready.clear_ready();
            if count > 0 {
                return Ok(());
            }
        }
    }

    /// Arms the instance: it notifies of records that the ring has now or gets later.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.is_open_for_each = false;
        self.arm(ONCE)
    }

    /// Arms the instance for every wake-up from now on, also if the ring is not empty before the record. Records that are in the
    /// ring now may cause a notification too.
    pub(super) fn open_for_each(&mut self) -> io::Result<()> {
        if self.is_open_for_each {
            return Ok(());
        }
        self.arm(EACH)?;
        self.is_open_for_each = true;
        Ok(())
    }

    /// Ends [`OneshotEpoll::open_for_each`].
    pub(super) fn open_for_one(&mut self) -> io::Result<()> {
        if self.is_open_for_each { self.open() } else { Ok(()) }
    }

    fn arm(&self, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(self.epoll.get_ref(), self.behind.as_fd(), EventData::new_u64(0), flags)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;

    /// The longest wait for a notification that must come.
    const SOON: Duration = Duration::from_secs(10);
    /// How long to wait in order to show that no notification comes.
    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn it_passes_once_and_again_when_it_is_opened() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut epoll_wait = OneshotEpoll::new(reader.try_clone()?.into())?;
        assert!(timeout(MOMENT, epoll_wait.passed()).await.is_err(), "nothing is there");
        writer.write_all(b"a")?;
        timeout(SOON, epoll_wait.passed()).await??;
        writer.write_all(b"b")?;
        assert!(timeout(MOMENT, epoll_wait.passed()).await.is_err(), "it is shut");
        epoll_wait.open()?;
        timeout(SOON, epoll_wait.passed()).await??;
        reader.read_exact(&mut [0; 2])?;
        epoll_wait.open()?;
        assert!(timeout(MOMENT, epoll_wait.passed()).await.is_err(), "all was read");
        writer.write_all(b"c")?;
        timeout(SOON, epoll_wait.passed()).await??;
        Ok(())
    }

    #[tokio::test]
    async fn open_for_each_it_passes_for_a_second_wake_up_without_a_read() -> io::Result<()> {
        let (reader, mut writer) = io::pipe()?;
        let mut epoll_wait = OneshotEpoll::new(reader.try_clone()?.into())?;
        epoll_wait.open_for_each()?;
        for _ in 0..2 {
            writer.write_all(b"a")?;
            timeout(SOON, epoll_wait.passed()).await??;
            assert!(
                timeout(MOMENT, epoll_wait.passed()).await.is_err(),
                "it reported events that were read already"
            );
        }
        epoll_wait.open_for_one()?;
        timeout(SOON, epoll_wait.passed()).await??;
        writer.write_all(b"b")?;
        assert!(timeout(MOMENT, epoll_wait.passed()).await.is_err(), "it is shut");
        Ok(())
    }

    #[tokio::test]
    async fn what_was_there_before_is_reported() -> io::Result<()> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(b"a")?;
        let epoll_wait = OneshotEpoll::new(reader.into())?;
        timeout(SOON, epoll_wait.passed()).await??;
        Ok(())
    }
}
