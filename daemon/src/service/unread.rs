//! Whether events are kept while nobody reads. They are kept for readers that resume, or that ask for earlier events (`since`). Under
//! a load at which the backlog would cover only a few seconds, it is not worth its cost, half of the daemon's CPU time: then events
//! are only counted.

use crate::lineage::id::Ktime;

/// A backlog that covers less than this is not kept, ns.
const SHORT_NS: u128 = 10_000_000_000;

/// A backlog that would cover this much is kept again, ns.
const LONG_NS: u128 = 2 * SHORT_NS;

/// The time over which events are counted before they are kept again, ns.
const COUNTED_NS: u64 = 1_000_000_000;

/// Decides whether events are kept while nobody reads.
#[derive(Debug)]
pub(super) struct Unread {
    /// Events that the backlog holds.
    keep: u64,
    /// Events since `since`.
    count: u64,
    since: Ktime,
    is_kept: bool,
}

impl Unread {
    pub(super) const fn new(keep: usize) -> Self {
        Self { keep: keep as u64, count: 0, since: Ktime(0), is_kept: keep > 0 }
    }

    /// Whether events are kept without a reader.
    pub(super) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Notes `count` events that nobody read; `at` is the time of the last one.
    pub(super) fn note(&mut self, at: Ktime, count: u64) {
        self.count += count;
        let ns = at.since(self.since);
        if self.is_kept {
            // The whole backlog was filled since `since`.
            if self.count >= self.keep {
                self.is_kept = u128::from(ns) >= SHORT_NS;
                self.begin(at);
            }
        } else if ns >= COUNTED_NS {
            self.is_kept = u128::from(self.keep) * u128::from(ns) >= LONG_NS * u128::from(self.count);
            self.begin(at);
        }
    }

    /// Notes that there is a reader, which needs all events.
    pub(super) const fn is_read(&mut self, at: Ktime) {
        self.is_kept = self.keep > 0;
        self.begin(at);
    }

    const fn begin(&mut self, at: Ktime) {
        (self.count, self.since) = (0, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Notes `rate` events a second for `seconds`. Returns whether they are kept after it.
    fn go_on(unread: &mut Unread, from: u64, seconds: u64, rate: u64) -> bool {
        for part in 1..=seconds * 10 {
            unread.note(Ktime(from * SECOND + part * SECOND / 10), rate / 10);
        }
        unread.is_kept()
    }

    #[test]
    fn a_backlog_that_would_reach_back_for_moments_is_not_kept_until_less_happens() {
        let mut unread = Unread::new(8000);
        unread.note(Ktime(100 * SECOND), 0);
        assert!(go_on(&mut unread, 100, 60, 700), "it reaches back for more than ten seconds");
        assert!(!go_on(&mut unread, 160, 30, 2000), "for four");
        assert!(!go_on(&mut unread, 190, 30, 700), "for less than twenty");
        assert!(go_on(&mut unread, 220, 2, 300));
    }

    #[test]
    fn fewer_events_than_the_backlog_holds_never_empty_it() {
        let mut unread = Unread::new(8000);
        unread.note(Ktime(SECOND), 7999);
        assert!(unread.is_kept());
        unread.is_read(Ktime(2 * SECOND));
        unread.note(Ktime(3 * SECOND), 7999);
        assert!(unread.is_kept(), "what came before the reader does not count");
        unread.note(Ktime(4 * SECOND), 1);
        assert!(!unread.is_kept());
        unread.is_read(Ktime(5 * SECOND));
        assert!(unread.is_kept());
    }

    #[test]
    fn without_a_backlog_nothing_is_kept() {
        let mut unread = Unread::new(0);
        unread.is_read(Ktime(SECOND));
        assert!(!go_on(&mut unread, 1, 30, 1));
        assert!(!go_on(&mut unread, 40, 3, 0));
    }
}
