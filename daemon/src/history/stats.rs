//! Counters of the events that the history has written and could not write. The writer counts; `status` and /metrics read.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Why a line is not on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The queue was full.
    Queue,
    /// It could not be written to the disk.
    Disk,
}

/// Counters that the owner of the lineage and the writer share.
#[derive(Debug, Default)]
pub struct Stats {
    /// Lines in the queue.
    pub(super) waiting: AtomicUsize,
    lives: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    text_bytes: AtomicU64,
    lost_queue: AtomicU64,
    lost_disk: AtomicU64,
    disk: AtomicU64,
    segments: AtomicU64,
    cut: AtomicU64,
    /// The number of the last request to write all lines that is done.
    pub(super) flushed: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The values of [`Stats`] at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; docs/api.md describes them")]
pub struct HistoryFigures {
    pub lives_written: u64,
    pub events_written: u64,
    /// Bytes of compressed frames.
    pub bytes_written: u64,
    /// Bytes of the lines in these frames.
    pub text_bytes_written: u64,
    pub lost_queue: u64,
    pub lost_disk: u64,
    pub disk_bytes: u64,
    pub segments: u64,
    /// Bytes of torn tails that were cut off at the start.
    pub cut_bytes: u64,
    pub error: Option<String>,
}

impl Stats {
    pub(super) fn wrote(&self, lives: u64, events: u64, bytes: u64, text_bytes: u64) {
        self.lives.fetch_add(lives, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.text_bytes.fetch_add(text_bytes, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, why: Lost, lines: u64) {
        let counter = match why {
            Lost::Queue => &self.lost_queue,
            Lost::Disk => &self.lost_disk,
        };
        counter.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns the number of lines that are not on disk.
    pub(super) fn lost_so_far(&self) -> u64 {
        self.lost_queue.load(Ordering::Relaxed) + self.lost_disk.load(Ordering::Relaxed)
    }

    pub(super) fn holds(&self, bytes: u64, segments: u64) {
        self.disk.store(bytes, Ordering::Relaxed);
        self.segments.store(segments, Ordering::Relaxed);
    }

    pub(super) fn has_cut(&self, bytes: u64) {
        self.cut.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets why nothing can be written now; `None` if it can. Returns whether this changes anything.
    pub(super) fn set_error(&self, error: Option<String>) -> bool {
        let mut now = self.error();
        let is_news = *now != error;
        *now = error;
        is_news
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all figures.
    #[must_use]
    pub fn figures(&self) -> HistoryFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HistoryFigures {
            lives_written: read(&self.lives),
            events_written: read(&self.events),
            bytes_written: read(&self.bytes),
            text_bytes_written: read(&self.text_bytes),
            lost_queue: read(&self.lost_queue),
            lost_disk: read(&self.lost_disk),
            disk_bytes: read(&self.disk),
            segments: read(&self.segments),
            cut_bytes: read(&self.cut),
            error: self.error().clone(),
        }
    }
}
