//! A listener that keeps descriptors in reserve: it does not accept a connection with a descriptor that an answer needs, and it
//! can accept when all other descriptors are in use.

use std::{io, os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::sleep;

use super::{listener::Listener, peer::Peer};
use crate::{
    failpoint::{self, Point},
    fd::spare::{self, Lane},
};

/// Time between two checks whether a descriptor is free again.
const PAUSE: Duration = Duration::from_millis(20);

/// A listener with a reserve of its own.
pub(in crate::service::http) struct Reserving<L> {
    listener: L,
    lane: Lane,
}

impl<L> Reserving<L> {
    /// Takes the reserve.
    ///
    /// Fails if too few descriptors are left.
    pub(in crate::service::http) fn new(listener: L, lane: Lane) -> io::Result<Self> {
        lane.hold()?;
        Ok(Self { listener, lane })
    }
}

impl<L: Listener + AsFd> Reserving<L> {
    /// Whether a client waits to be accepted.
    fn is_awaited(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

impl<L: Listener + AsFd + Sync> Listener for Reserving<L> {
    type Stream = L::Stream;

    /// Fails with `EMFILE` if a client waits and all descriptors that are left are reserved. Only then does the caller close a
    /// connection, because the one that was accepted last may have had no time yet to send a request.
    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        loop {
            // A descriptor of the reserve that was freed must be used at once, because filling the reserve would take it back.
            let mut has_given = !self.lane.may_accept();
            if has_given && !self.is_awaited() {
                sleep(PAUSE).await;
                continue;
            }
            if has_given && !self.lane.give_up_one() {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            loop {
                let accepted = match failpoint::check(Point::Accept) {
                    Ok(()) => self.listener.accept().await,
                    Err(error) => Err(error),
                };
                match accepted {
                    Ok(accepted) => {
                        self.lane.refill();
                        return Ok(accepted);
                    }
                    Err(error) if !spare::is_exhausted(&error) => return Err(error),
                    // accept4(2) allocates the descriptor before it checks for a connection, so it fails without a descriptor
                    // even if nobody waits.
                    Err(_) if !self.is_awaited() => {
                        sleep(PAUSE).await;
                        break;
                    }
                    // Another thread has taken the descriptor that was freed.
                    Err(_) if has_given => break,
                    Err(error) if !self.lane.give_up_one() => return Err(error),
                    Err(_) => has_given = true,
                }
            }
        }
    }
}
