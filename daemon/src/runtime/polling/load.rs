//! Whether the host is busy: whether records come so fast that each wake-up handles many, although it comes soon.

use std::time::{Duration, Instant};

/// The time over which records are counted.
const WINDOW: Duration = Duration::from_millis(20);

/// This many records within [`WINDOW`] or less are a busy host: 2,500 a second, or the lives of 600 processes.
const MANY: usize = 50;

/// Counts the records of polls.
#[derive(Debug)]
pub(super) struct Load {
    /// When the present window began, and the records in it.
    since: Instant,
    count: usize,
    /// Whether the last whole window had many.
    was_busy: bool,
}

impl Load {
    /// Counts from now on.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), count: 0, was_busy: false }
    }

    /// Adds the records that a poll found now. Returns whether the host is busy.
    pub(super) fn is_busy_after(&mut self, found: usize) -> bool {
        self.add(found, Instant::now())
    }

    fn add(&mut self, found: usize, now: Instant) -> bool {
        let window = now.saturating_duration_since(self.since);
        if window >= WINDOW {
            // A window without polls was a quiet one.
            self.was_busy = self.count >= MANY && window < 2 * WINDOW;
            (self.since, self.count) = (now, 0);
        }
        self.count += found;
        self.was_busy || self.count >= MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_busy_while_records_come_fast() {
        let mut load = Load::new();
        let start = load.since;
        let at = |ms| start + Duration::from_millis(ms);
        // A process that starts and one that ends.
        assert!(!load.add(3, at(1)) && !load.add(4, at(15)) && !load.add(3, at(30)));
        // A storm is noticed at once, and a poll that finds little does not end it.
        assert!(load.add(MANY, at(31)) && load.add(9, at(32)) && load.add(1, at(49)));
        assert!(load.add(1, at(51)));
        // It is over after a window with few records, or with no polls.
        assert!(!load.add(1, at(72)));
        assert!(load.add(MANY, at(73)) && !load.add(1, at(500)));
    }
}
