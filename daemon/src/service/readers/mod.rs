//! Readers of events. The owner of the lineage appends events to one log, at a cost that does not depend on the readers. The
//! thread that serves connections encodes events when readers take them, once for all readers of one layout.
//!
//! Sequence numbers count every event of this daemon. A reader that is too slow loses its own events, and gets a gap with their
//! number before the next event.

mod chunk;
mod format;
mod log;
mod reader;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{select, sync::Notify, time::sleep};

use self::{
    chunk::Chunk,
    log::{Budget, Log},
};
pub(super) use self::{
    format::{Format, Layout},
    reader::{Reader, Wanted},
};
use crate::kernel::memory::give_back;
use crate::{
    cgroup::Cgroups,
    export::Stamp,
    lineage::{effect::Effect, id::Ktime},
};

const BUDGET: Budget = Budget { log_bytes: 16 << 20, text_bytes: 16 << 20 };

/// The number of chunks whose memory is kept for reuse.
const SPARE_BUFFERS: usize = 16;

/// A chunk of fewer events gets memory of its own, because it may stay small.
const FEW: usize = 8;

/// Time between two checks of what all readers have read.
const SWEEP: Duration = Duration::from_millis(100);

/// After this many bytes were freed, memory is returned to the kernel.
const GIVE_BACK_BYTES: usize = 4 << 20;
const GIVE_BACK_EVERY: Duration = Duration::from_secs(2);

/// Time between two checks whether the last reader has left.
const LEAVING: Duration = Duration::from_millis(5);

/// State that the owner of the lineage and the readers share. The lock is held only for a short time: nothing is encoded, filtered
/// or freed while it is held.
struct Shared {
    log: Mutex<Log>,
    instance: Arc<str>,
    /// Notifies that events arrived or that a reader left.
    changed: Notify,
    lost: AtomicU64,
    sent: AtomicU64,
    encoded: AtomicU64,
    /// Readers of whole lives.
    of_lives: AtomicUsize,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    fn sent(&self, count: u64, encoded: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.encoded.fetch_add(encoded, Ordering::Relaxed);
    }
}

/// The end of the log at which the owner of the lineage appends.
pub(super) struct Readers {
    shared: Arc<Shared>,
    stamp: Arc<Stamp>,
    sequence: u64,
    /// Memory of chunks that are gone.
    spare: Vec<Vec<Effect>>,
}

impl Readers {
    /// Returns an empty log that keeps this many events for readers that resume.
    pub(super) fn new(keep: usize, instance: &str, stamp: &Stamp) -> Self {
        Self::with_budget(keep, BUDGET, instance, stamp)
    }

    fn with_budget(keep: usize, budget: Budget, instance: &str, stamp: &Stamp) -> Self {
        let shared = Shared {
            log: Mutex::new(Log::new(keep, budget)),
            instance: instance.into(),
            changed: Notify::new(),
            lost: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            of_lives: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), stamp: Arc::new(stamp.clone()), sequence: 0, spare: Vec::new() }
    }

    /// Appends what happened: takes all effects.
    pub(super) fn publish(&mut self, effects: &mut Vec<Effect>, stamp: &Stamp, cgroups: &Cgroups) {
        if *self.stamp != *stamp {
            self.stamp = Arc::new(stamp.clone());
        }
        let mut effects = effects.drain(..);
        let extended = self.shared.log().extend(&mut effects, &self.stamp, cgroups);
        self.sequence += extended as u64;
        let mut chunks = Vec::with_capacity(effects.len().div_ceil(chunk::EVENTS));
        while effects.len() > 0 {
            let buffer = if effects.len() < FEW { None } else { self.spare.pop() };
            let chunk = Chunk::new(self.sequence + 1, &mut effects, buffer, &self.stamp, cgroups);
            self.sequence = chunk.end() - 1;
            chunks.push(Arc::new(chunk));
        }
        let mut log = self.shared.log();
        let gone = log.push(chunks);
        let is_awaited = log.is_awaited();
        drop(log);
        for chunk in gone.into_iter().filter_map(Arc::into_inner) {
            if self.spare.len() < SPARE_BUFFERS {
                self.spare.extend(chunk.into_buffer());
            }
        }
        if is_awaited {
            self.shared.changed.notify_one();
        }
    }

    /// Counts events that are not kept, and drops the events before them. `at` is the time of the youngest.
    pub(super) fn skip(&mut self, count: u64, at: Option<Ktime>) {
        if count == 0 {
            return;
        }
        self.sequence += count;
        let gone = self.shared.log().skip(count, at);
        if !gone.is_empty() {
            drop(gone);
            self.spare = Vec::new();
            give_back();
        }
    }

    /// Appends a gap to the log.
    pub(super) fn publish_gap(&mut self, place: &'static str, lost: Option<u64>) {
        self.shared.log().push_gap(place, lost);
        self.shared.changed.notify_one();
    }

    /// Adds a reader.
    pub(super) fn join(&self, wanted: Wanted) -> Reader {
        Reader::new(&self.shared, wanted)
    }

    /// Readers now.
    pub(super) fn count(&self) -> usize {
        self.shared.log().readers()
    }

    /// Whether a reader wants whole lives.
    pub(super) fn wants_lives(&self) -> bool {
        self.shared.of_lives.load(Ordering::Relaxed) > 0
    }

    /// Returns the number of events so far.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns how many events readers lost because they were too slow.
    pub(super) fn lost(&self) -> u64 {
        let log = self.shared.log();
        self.shared.lost.load(Ordering::Relaxed) + log.lost_unreported()
    }

    /// Returns the number of events that were sent to readers.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Returns the memory of events that are kept, and of their texts.
    pub(super) fn bytes(&self) -> usize {
        self.shared.log().bytes()
    }

    /// Returns the number of events that are kept.
    pub(super) fn backlog_len(&self) -> usize {
        self.shared.log().len()
    }

    /// Returns the memory of these events.
    pub(super) fn backlog_bytes(&self) -> usize {
        let log = self.shared.log();
        log.bytes() - log.text_bytes()
    }

    /// Returns the memory of texts that were made of events for readers.
    pub(super) fn text_bytes(&self) -> usize {
        self.shared.log().text_bytes()
    }

    /// Keeps about `keep` of the newest events, and no more until [`Readers::restore`], even if a reader has not read the others.
    /// Returns the freed bytes.
    pub(super) fn shed(&mut self, keep: usize) -> usize {
        let before = self.backlog_bytes();
        // Free the memory without holding the lock.
        let gone = self.shared.log().shed(keep);
        drop(gone);
        self.spare.clear();
        before.saturating_sub(self.backlog_bytes())
    }

    /// Keeps as many events as the settings allow again.
    pub(super) fn restore(&mut self) {
        self.shared.log().restore();
    }

    /// Returns the task that wakes readers up; it runs on the thread that serves them.
    pub(super) fn attendant(&self) -> Attendant {
        Attendant(Arc::clone(&self.shared))
    }
}

impl Drop for Readers {
    /// Readers end when they have read all events.
    fn drop(&mut self) {
        self.shared.log().is_closed = true;
        self.shared.changed.notify_one();
    }
}

/// The task that wakes up readers when events arrive, and drops events that all readers have read. The owner of the lineage wakes
/// only this task.
#[derive(Clone)]
pub(super) struct Attendant(Arc<Shared>);

impl Attendant {
    /// Waits until no reader is left.
    pub(super) async fn all_left(self) {
        while self.0.log().readers() > 0 {
            sleep(LEAVING).await;
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn attend(self) {
        let Self(shared) = self;
        let (mut swept, mut gave_back) = (Instant::now(), Instant::now());
        let mut freed = 0;
        loop {
            let has_excess = freed >= GIVE_BACK_BYTES || shared.log().has_excess();
            select! {
                () = shared.changed.notified() => {}
                () = sleep(SWEEP), if has_excess => {}
            }
            let wakers = shared.log().take_wakers();
            wakers.into_values().for_each(std::task::Waker::wake);
            if swept.elapsed() < SWEEP {
                continue;
            }
            swept = Instant::now();
            let mut log = shared.log();
            let before = log.bytes();
            let gone = log.sweep();
            freed += before - log.bytes().min(before);
            let is_quiet = !log.has_excess();
            drop(log);
            drop(gone);
            if freed >= GIVE_BACK_BYTES && is_quiet && gave_back.elapsed() >= GIVE_BACK_EVERY {
                give_back();
                (gave_back, freed) = (Instant::now(), 0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
