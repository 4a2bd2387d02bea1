//! What an output has sent, and what it could not send.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Counters of one output, which its tasks change and a scrape reads.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// The output's name and type.
    pub name: String,
    /// As in the configuration.
    pub target: &'static str,
    sent: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
    retries: AtomicU64,
    queued: AtomicU64,
    spilled: AtomicU64,
    /// Events that the owner of the lineage dropped and that no gap record has reported yet.
    unreported: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The counters at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFigures {
    /// Events that the target has acknowledged.
    pub sent: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// Events that were dropped.
    pub dropped: u64,
    /// Attempts that repeated a failed one.
    pub retries: u64,
    /// Events that wait, in memory and in the spill file.
    pub queued: u64,
    /// Bytes in the spill file.
    pub spilled: u64,
    /// Why the last attempt failed; `None` after a success.
    pub error: Option<String>,
}

impl OutputStats {
    pub(super) fn new(name: &str, target: &'static str) -> Self {
        Self { name: name.to_owned(), target, ..Self::default() }
    }

    pub(super) fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts events that the owner of the lineage could not queue.
    pub(super) fn dropped_unreported(&self, count: u64) {
        self.dropped(count);
        self.unreported.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the number of dropped events that no gap record has reported yet, and sets it to 0.
    pub(super) fn take_unreported(&self) -> u64 {
        self.unreported.swap(0, Ordering::Relaxed)
    }

    pub(super) fn set_waiting(&self, events: u64, spilled: u64) {
        self.queued.store(events, Ordering::Relaxed);
        self.spilled.store(spilled, Ordering::Relaxed);
    }

    /// Counts a failed attempt. Returns whether the reason differs from that of the attempt before.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.as_deref() == Some(why) {
            return false;
        }
        *error = Some(why.to_owned());
        true
    }

    /// Notes that an attempt succeeded. Returns whether the one before failed.
    pub(super) fn succeeded(&self) -> bool {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Returns the counters.
    #[must_use]
    pub fn figures(&self) -> OutputFigures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutputFigures {
            sent: of(&self.sent),
            errors: of(&self.errors),
            dropped: of(&self.dropped),
            retries: of(&self.retries),
            queued: of(&self.queued),
            spilled: of(&self.spilled),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
