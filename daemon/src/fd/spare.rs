//! Descriptors held in reserve, so that questions are answered even when the limit on open files is reached.
//!
//! The daemon holds a few descriptors that it does not use. Where an open fails with `EMFILE` or `ENFILE`, [`retry`] closes them and opens again. The reserve is filled again as soon as descriptors are free. Only connections stay open for long, so only
//! they can use up all descriptors: a listener has a reserve of its own ([`Lane`]) and accepts only while the reserves of all
//! others are whole.
//!
//! The table of descriptors belongs to the process, and so does the reserve. A process that never calls [`hold`] has none, and
//! [`retry`] then tries once.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::event::{EventfdFlags, eventfd};

/// Descriptors that answers have open at once, at most: each of two threads that complete answers a directory and a file, the
/// owner of the lineage an iterator, a directory and a file; two for the message to systemd and one more.
const FOR_ANSWERS: usize = 8;

/// Connections that each listener can accept when all other descriptors are in use.
const FOR_CONNECTIONS: usize = 2;

/// What is held.
struct Reserve {
    /// How many are to be held for answers: none before [`hold`].
    wanted: usize,
    /// How many callers of [`lend`] use descriptors that were held for answers: the reserve is not filled up in the meantime.
    lent: u32,
    answers: Vec<OwnedFd>,
    /// By [`Lane`], with how many are to be held.
    lanes: [(usize, Vec<OwnedFd>); 2],
}

static RESERVE: Mutex<Reserve> = Mutex::new(Reserve {
    wanted: 0,
    lent: 0,
    answers: Vec::new(),
    lanes: [(0, Vec::new()), (0, Vec::new())],
});

fn reserve() -> MutexGuard<'static, Reserve> {
    // The reserve consists of vectors of descriptors, so it is valid even if a thread panicked with the lock.
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reserve {
    /// Tries to hold all descriptors for answers; returns whether all are held.
    fn fill_answers(&mut self) -> bool {
        self.lent == 0 && fill(&mut self.answers, self.wanted).is_ok()
    }

    /// Tries to hold all descriptors; returns whether all but those of the listener `own` are held. Free descriptors go to answers
    /// first, then to the socket, then to TCP. So a listener does not get the descriptors that another one has released.
    fn fill_all_but(&mut self, own: Lane) -> bool {
        let mut is_whole = self.fill_answers();
        if self.lent > 0 {
            return false;
        }
        for (index, (wanted, held)) in self.lanes.iter_mut().enumerate() {
            let is_filled = fill(held, *wanted).is_ok();
            is_whole &= index == own as usize || is_filled;
        }
        is_whole
    }

    fn lane(&mut self, lane: Lane) -> Option<&mut (usize, Vec<OwnedFd>)> {
        self.lanes.get_mut(lane as usize)
    }
}

/// Fills the reserve with up to `wanted` descriptors. They are of `eventfd(2)`, because a duplicate takes no entry in the
/// system-wide file table.
fn fill(held: &mut Vec<OwnedFd>, wanted: usize) -> io::Result<()> {
    while held.len() < wanted {
        held.push(eventfd(0, EventfdFlags::CLOEXEC)?);
    }
    Ok(())
}

/// Begins to hold descriptors for answers.
///
/// Errors: there are too few already.
pub fn hold() -> io::Result<()> {
    let mut reserve = reserve();
    reserve.wanted = FOR_ANSWERS;
    fill(&mut reserve.answers, FOR_ANSWERS)
}

/// Whether an error says that no descriptor is left: to this process (`EMFILE`) or to the system (`ENFILE`).
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Calls `open`. If no descriptor is left, releases the spare ones and calls `open` again.
pub fn retry<T>(open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retry_if(open, is_exhausted)
}

/// Does the same for an error that contains the kernel's error. `open` must not call [`retry`] itself: the second attempt holds
/// the lock, so that no other thread takes the released descriptor.
pub fn retry_if<T, E>(
    mut open: impl FnMut() -> Result<T, E>,
    is_exhausted: impl Fn(&E) -> bool,
) -> Result<T, E> {
    match open() {
        Err(error) if is_exhausted(&error) => {
            let mut reserve = reserve();
            if reserve.answers.is_empty() {
                return Err(error);
            }
            reserve.answers.clear();
            let outcome = open();
            reserve.fill_answers();
            outcome
        }
        outcome => outcome,
    }
}

/// Descriptors that a closure passed to [`lend`] may need at once.
const FOR_WORK: usize = 3;

/// Runs a closure that opens files and ignores errors of opening them. If too few descriptors are left, the reserved ones are
/// released while the closure runs.
pub fn lend<T>(work: impl FnOnce() -> T) -> T {
    /// Ends the loan also where `work` panics.
    struct Loan;

    impl Drop for Loan {
        fn drop(&mut self) {
            let mut reserve = reserve();
            reserve.lent -= 1;
            reserve.fill_answers();
        }
    }

    let loan = fill(&mut Vec::new(), FOR_WORK).is_err().then(|| {
        let mut reserve = reserve();
        reserve.lent += 1;
        reserve.answers.clear();
        Loan
    });
    let outcome = work();
    drop(loan);
    outcome
}

/// A listener with a reserve of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The Unix socket.
    Socket = 0,
    /// TCP.
    Tcp = 1,
}

impl Lane {
    /// Begins to hold descriptors for it.
    ///
    /// Errors: there are too few already.
    pub fn hold(self) -> io::Result<()> {
        let mut reserve = reserve();
        let Some((wanted, held)) = reserve.lane(self) else { return Ok(()) };
        *wanted = FOR_CONNECTIONS;
        fill(held, FOR_CONNECTIONS)
    }

    /// Whether this listener may take any descriptor that is free: the reserves of answers and of the other listener are whole,
    /// after trying to fill them.
    #[must_use]
    pub fn may_accept(self) -> bool {
        reserve().fill_all_but(self)
    }

    /// Holds again the descriptors that were released, as far as descriptors are free.
    pub fn refill(self) {
        // Descriptors that are still missing are taken at the next call.
        let _ = reserve().fill_all_but(self);
    }

    /// Releases one descriptor for a connection. Returns false if none is left.
    #[must_use]
    pub fn give_up_one(self) -> bool {
        reserve().lane(self).and_then(|(_, held)| held.pop()).is_some()
    }
}
