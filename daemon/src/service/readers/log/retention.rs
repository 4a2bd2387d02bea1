//! What the log keeps, and what it drops: events, and the texts that were encoded for readers.

use std::sync::Arc;

use super::{Chunk, Cursor, Entry, Log};

impl Log {
    /// Drops what is neither kept for readers that resume nor needed by a reader within the budget.
    pub(super) fn shrink(&mut self) -> Vec<Arc<Chunk>> {
        let mut gone = Vec::new();
        while let Some(entry) = self.entries.front() {
            let is_read = self.base < self.slowest;
            if let Entry::Events(chunk) = entry {
                let is_kept = self.events - (chunk.events.len() as u64) < self.keep;
                if is_kept || !(is_read || self.bytes > self.budget.log_bytes) {
                    break;
                }
                self.events -= chunk.events.len() as u64;
                self.bytes = self.bytes.saturating_sub(chunk.bytes());
                self.dropped_at = chunk.youngest().max(self.dropped_at);
                gone.push(Arc::clone(chunk));
            } else if self.entries.len() == 1 || !self.is_front_dropped_next() {
                // A gap is dropped with the events after it: a reader that did not see the gap gets one for those events.
                break;
            }
            self.entries.pop_front();
            self.base += 1;
        }
        gone
    }

    /// Keeps this many of the newest events from now on, even if readers have not read the others. Returns those that were
    /// dropped.
    pub(in crate::service::readers) fn shed(&mut self, keep: usize) -> Vec<Arc<Chunk>> {
        self.keep = self.keep_most.min(keep as u64);
        // The memory that `keep` events take, from their share in all events.
        let share = self.bytes as u128 * u128::from(self.keep) / u128::from(self.events.max(1));
        self.budget.log_bytes = self.budget_most.log_bytes.min(usize::try_from(share).unwrap_or(usize::MAX));
        self.shrink()
    }

    /// Keeps as much as the settings allow again.
    pub(in crate::service::readers) const fn restore(&mut self) {
        self.keep = self.keep_most;
        self.budget = self.budget_most;
    }

    /// Returns whether the events after a gap at the front would be dropped, too.
    fn is_front_dropped_next(&self) -> bool {
        let next = self.entries.iter().find_map(|entry| match entry {
            Entry::Events(chunk) => Some(chunk.events.len() as u64),
            Entry::Gap { .. } => None,
        });
        next.is_some_and(|events| {
            self.events - events >= self.keep
                && (self.base + 1 < self.slowest || self.bytes > self.budget.log_bytes)
        })
    }

    /// Accounts for texts that were made for a reader. If there are too many, the oldest are dropped; they are made again if
    /// needed.
    pub(in crate::service::readers) fn made_texts(&mut self, cursor: &Cursor, bytes: usize) {
        self.texts.push_back((cursor.entry, bytes));
        self.text_bytes += bytes;
        while self.text_bytes > self.budget.text_bytes && self.forget_oldest_texts(u64::MAX) {}
    }

    /// Drops the texts that were made first, if they belong to an entry before `entry`.
    pub(super) fn forget_oldest_texts(&mut self, entry: u64) -> bool {
        let Some((of, bytes)) = self.texts.front().copied().filter(|(of, _)| *of < entry) else {
            return false;
        };
        self.texts.pop_front();
        self.text_bytes -= bytes;
        if let Some(Entry::Events(chunk)) =
            of.checked_sub(self.base).and_then(|index| self.entries.get(index as usize))
        {
            chunk.forget_texts();
        }
        true
    }

    /// Removes what all readers have read, so that the caller can drop it without holding the lock.
    pub(in crate::service::readers) fn sweep(&mut self) -> Vec<Arc<Chunk>> {
        self.slowest = self.cursors.values().map(|cursor| self.needed(cursor)).min().unwrap_or(u64::MAX);
        while self.forget_oldest_texts(self.slowest) {}
        self.shrink()
    }
}
