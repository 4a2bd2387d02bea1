//! How long to wait before the next attempt: twice as long each time, with jitter, so that many hosts do not return to a server at
//! once.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

/// The first wait and the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The longest wait that a server can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The waits of one output.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// Begins again, after a success.
    pub(super) const fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Returns how long to wait now: between half of the present wait and the whole of it, and at least as long as the server
    /// asked.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        self.wait_by(asked, random())
    }

    fn wait_by(&mut self, asked: Option<Duration>, random: u64) -> Duration {
        let half = self.next / 2;
        // 0 to 1023 parts of 1024.
        let part = half * u32::try_from(random % 1024).unwrap_or_default() / 1024;
        self.next = (self.next * 2).min(LONGEST);
        asked.unwrap_or_default().min(LONGEST_ASKED).max(half + part)
    }
}

/// A number that differs between hosts and calls: std seeds its hash maps by the kernel's random numbers.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit_and_begin_again() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..9).map(|_| backoff.wait_by(None, 0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert!(backoff.wait_by(None, 1023) < LONGEST);
        backoff.reset();
        assert!((FIRST / 2..FIRST).contains(&backoff.wait(None)));
    }

    #[test]
    fn a_server_can_ask_for_longer_but_not_for_ever() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.wait_by(Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
        assert_eq!(backoff.wait_by(Some(Duration::from_secs(86_400)), 0), LONGEST_ASKED);
        assert!(backoff.wait_by(Some(Duration::ZERO), 0) >= FIRST);
    }
}
