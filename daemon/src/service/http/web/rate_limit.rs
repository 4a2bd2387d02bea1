//! `rate_limit` of the web configuration: a token bucket for the requests of an address.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A bucket of tokens; each request takes one.
pub(super) struct RateLimit {
    /// Time in which a token is added.
    interval: Duration,
    /// The most tokens.
    burst: u32,
    /// The time at which the bucket will be full.
    full_at: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// Returns a full bucket.
    pub(super) fn new((interval, burst): (Duration, u32)) -> Self {
        Self { interval, burst, full_at: Mutex::new(None) }
    }

    /// Takes a token, if there is one.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.map_or(Duration::ZERO, |full| full.saturating_duration_since(now));
        let after = missing.saturating_add(self.interval);
        if after > self.interval.saturating_mul(self.burst) {
            return false;
        }
        *full_at = now.checked_add(after);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let (limit, now) = (RateLimit::new((Duration::from_secs(1), 3)), Instant::now());
        let allowed = (0..10).filter(|_| limit.allows(now)).count();
        assert_eq!(allowed, 3);
        assert!(!limit.allows(now + Duration::from_millis(900)));
        assert!(limit.allows(now + Duration::from_secs(1)));
        assert!(!limit.allows(now + Duration::from_millis(1500)));
        assert_eq!((0..10).filter(|_| limit.allows(now + Duration::from_secs(100))).count(), 3);
    }
}
