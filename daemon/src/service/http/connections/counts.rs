//! Counts connections and the reasons for closing them. The thread that serves connections counts; /metrics shows the counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the daemon closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Closed {
    /// No complete request arrived in time.
    HeaderTimeout,
    /// The peer did not read what was written.
    Stalled,
    /// Another one needed its place.
    Evicted,
    /// There was no place for it, and no other connection could be closed.
    Refused,
}

impl Closed {
    pub(in crate::service) const ALL: [Self; 4] =
        [Self::HeaderTimeout, Self::Stalled, Self::Evicted, Self::Refused];

    /// Stable name for metrics.
    pub(in crate::service) const fn name(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::Stalled => "stalled",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
        }
    }
}

/// Counts of all addresses together.
#[derive(Debug, Default)]
pub(in crate::service) struct ConnectionCounts {
    open: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl ConnectionCounts {
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, why: Closed) {
        if let Some(count) = self.closed.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of open connections.
    pub(in crate::service) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns the number of closed connections by reason.
    pub(in crate::service) fn by_reason(&self) -> impl Iterator<Item = (Closed, u64)> {
        Closed::ALL.into_iter().zip(self.closed.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
