//! Counts connections and the reasons for closing them. The thread that serves connections counts; /metrics shows the counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// TLS and authentication.
    pub(in crate::service) web: WebCounts,
}

/// Counts of TLS and of authentication.
#[derive(Debug, Default)]
pub(in crate::service) struct WebCounts {
    pub(in crate::service::http) has_failed: AtomicBool,
    pub(in crate::service::http) reloads: AtomicU64,
    pub(in crate::service::http) handshakes: AtomicU64,
    pub(in crate::service::http) handshakes_failed: AtomicU64,
    pub(in crate::service::http) refused: AtomicU64,
}

impl WebCounts {
    /// Whether the web configuration's files as they are now are in force.
    pub(in crate::service) fn is_current(&self) -> bool {
        !self.has_failed.load(Ordering::Relaxed)
    }

    /// Returns how often changed files came into force.
    pub(in crate::service) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Returns the number of TLS handshakes: complete ones, and failed ones.
    pub(in crate::service) fn handshakes(&self) -> [(&'static str, u64); 2] {
        [("complete", &self.handshakes), ("failed", &self.handshakes_failed)]
            .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    /// Returns the number of requests that were refused for their password, or because of the rate limit.
    pub(in crate::service) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
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
