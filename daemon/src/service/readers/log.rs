//! The log of events that all readers share. It grows by what the owner of the lineage appends, at a cost that does not depend on
//! the readers; each reader has a position in it.
//!
//! The newest events are kept for readers that resume. Older events are kept for readers that have not read them yet, within the
//! budget. Beyond it, the oldest are dropped (`retention`), and a reader that has not read them gets a gap with their number.

mod retention;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
    vec::Drain,
};

use super::chunk::Chunk;
use crate::{
    cgroup::Cgroups,
    export::Stamp,
    lineage::{effect::Effect, id::Ktime},
};

/// Memory for all readers together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// The most bytes of events that wait for readers, including those that are kept anyway.
    pub(super) log_bytes: usize,
    /// The most bytes of the texts of events, all layouts together.
    pub(super) text_bytes: usize,
}

/// An entry of the log.
#[derive(Clone)]
pub(super) enum Entry {
    Events(Arc<Chunk>),
    /// Records were lost before the event with this sequence number.
    Gap {
        before: u64,
        place: &'static str,
        lost: Option<u64>,
    },
}

/// The position of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Number of the entry, counted from the first entry ever.
    entry: u64,
    /// How many events of the entry are read.
    offset: usize,
    /// Sequence number of the next event to read.
    pub(super) sequence: u64,
}

/// The next step of a reader.
pub(super) enum Step {
    /// This many events were dropped before the reader had read them.
    Lost(u64),
    /// Records were lost here, for all readers.
    Gap(&'static str, Option<u64>),
    /// The events of this chunk, from this index on.
    Events(Arc<Chunk>, usize),
    /// There is no further event; if the log is closed, there will be none.
    End { is_closed: bool },
}

/// The log of events.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    base: u64,
    /// Sequence number of the next event.
    next: u64,
    /// Events in the entries.
    events: u64,
    /// Memory of these events, bytes.
    bytes: usize,
    /// How many events are kept for readers that resume: by the settings, and (`keep`) now.
    keep_most: u64,
    keep: u64,
    /// The memory budget: by the settings, and (`budget`) now.
    budget_most: Budget,
    budget: Budget,
    /// Time of the youngest event that was dropped.
    dropped_at: Option<Ktime>,
    /// No reader needs the entries before this number. The number can be too small until [`Log::sweep`] updates it.
    slowest: u64,
    cursors: HashMap<u64, Cursor>,
    wakers: HashMap<u64, Waker>,
    /// Entries with texts, in the order in which these were encoded, and the memory of all texts.
    texts: VecDeque<(u64, usize)>,
    text_bytes: usize,
    last_reader: u64,
    pub(super) is_closed: bool,
}

impl Entry {
    /// Returns whether a reader that resumes after the event `sequence` is past this gap. A gap right before the event is
    /// reported again.
    fn is_before(&self, sequence: u64) -> bool {
        match self {
            Self::Events(chunk) => chunk.end() <= sequence,
            Self::Gap { before, .. } => *before < sequence,
        }
    }
}

impl Log {
    pub(super) fn new(keep: usize, budget: Budget) -> Self {
        Self {
            entries: VecDeque::new(),
            base: 0,
            next: 1,
            events: 0,
            bytes: 0,
            keep_most: keep as u64,
            keep: keep as u64,
            budget_most: budget,
            budget,
            dropped_at: None,
            slowest: u64::MAX,
            cursors: HashMap::new(),
            wakers: HashMap::new(),
            texts: VecDeque::new(),
            text_bytes: 0,
            last_reader: 0,
            is_closed: false,
        }
    }

    /// Appends events to the last chunk as long as it takes them. Returns how many.
    pub(super) fn extend(
        &mut self,
        effects: &mut Drain<'_, Effect>,
        stamp: &Arc<Stamp>,
        cgroups: &Cgroups,
    ) -> usize {
        let Some(Entry::Events(last)) = self.entries.back_mut() else { return 0 };
        let Some(chunk) = Arc::get_mut(last) else { return 0 };
        let more = chunk.room(stamp).min(effects.len());
        let before = chunk.bytes();
        chunk.extend(effects, more, cgroups);
        self.bytes += chunk.bytes() - before;
        self.events += more as u64;
        self.next += more as u64;
        if !self.cursors.is_empty() {
            // A reader that had read the whole chunk now has events to read.
            self.slowest = self.slowest.min(self.base + self.entries.len() as u64 - 1);
        }
        more
    }

    /// Appends events. Returns those that have to be dropped, so that the caller can drop them without holding the lock.
    pub(super) fn push(&mut self, chunks: Vec<Arc<Chunk>>) -> Vec<Arc<Chunk>> {
        for chunk in chunks {
            self.bytes += chunk.bytes();
            self.events += chunk.events.len() as u64;
            self.next = chunk.end();
            self.entries.push_back(Entry::Events(chunk));
        }
        self.shrink()
    }

    /// Skips events that are not kept, and drops those before them. A reader that has not read them all gets the number of events that it
    /// missed.
    pub(super) fn skip(&mut self, count: u64, at: Option<Ktime>) -> VecDeque<Entry> {
        while self.forget_oldest_texts(u64::MAX) {}
        let gone = std::mem::take(&mut self.entries);
        // Skip one number more, so that no reader seems to be at the end of the log: each must get a gap.
        self.base += gone.len() as u64 + 1;
        self.next += count;
        (self.events, self.bytes) = (0, 0);
        self.dropped_at = self.dropped_at.max(at);
        gone
    }

    /// Appends a gap: records were lost here.
    pub(super) fn push_gap(&mut self, place: &'static str, lost: Option<u64>) {
        // Without a reader, a gap is not kept after another gap: on a host without events, gaps would pile up.
        if self.cursors.is_empty() && !matches!(self.entries.back(), Some(Entry::Events(_))) {
            return;
        }
        self.entries.push_back(Entry::Gap { before: self.next, place, lost });
    }

    /// Returns the sequence number of the oldest event here, or of the next one.
    fn first(&self) -> u64 {
        self.next - self.events
    }

    /// Returns the position after the last event, in the last chunk, which can grow.
    fn at_end(&self) -> Cursor {
        let end = self.base + self.entries.len() as u64;
        let (entry, offset) = match self.entries.back() {
            Some(Entry::Events(chunk)) => (end - 1, chunk.events.len()),
            _ => (end, 0),
        };
        Cursor { entry, offset, sequence: self.next }
    }

    /// Returns the first entry that a reader needs.
    fn needed(&self, cursor: &Cursor) -> u64 {
        let entry = cursor.entry.checked_sub(self.base).and_then(|index| self.entries.get(index as usize));
        match entry {
            Some(Entry::Events(chunk)) if cursor.offset >= chunk.events.len() => cursor.entry + 1,
            _ => cursor.entry,
        }
    }

    /// Adds a reader that resumes after the event `sequence`, or at the oldest event if the one after `sequence` is gone. With
    /// `None` it begins with the next event.
    pub(super) fn join(&mut self, sequence: Option<u64>) -> (u64, Cursor) {
        let cursor = match sequence {
            None => self.at_end(),
            Some(sequence) => {
                let sequence = sequence.clamp(self.first(), self.next);
                let index = self.entries.partition_point(|entry| entry.is_before(sequence));
                let offset = match self.entries.get(index) {
                    Some(Entry::Events(chunk)) => sequence.saturating_sub(chunk.first) as usize,
                    Some(Entry::Gap { .. }) => 0,
                    None => return self.enter(self.at_end()),
                };
                Cursor { entry: self.base + index as u64, offset, sequence }
            }
        };
        self.enter(cursor)
    }

    fn enter(&mut self, cursor: Cursor) -> (u64, Cursor) {
        self.last_reader += 1;
        self.cursors.insert(self.last_reader, cursor);
        self.slowest = self.slowest.min(cursor.entry);
        (self.last_reader, cursor)
    }

    /// Returns what comes next for a reader, and moves the reader past it. If there is nothing, the reader is woken up by the
    /// next event.
    pub(super) fn step(&mut self, reader: u64, cursor: &mut Cursor, waker: &Waker) -> Step {
        let step = self.advance(cursor);
        self.cursors.insert(reader, *cursor);
        if matches!(step, Step::End { is_closed: false }) {
            self.wakers.insert(reader, waker.clone());
        }
        step
    }

    fn advance(&mut self, cursor: &mut Cursor) -> Step {
        if cursor.entry < self.base {
            let lost = self.first().saturating_sub(cursor.sequence);
            *cursor = Cursor { entry: self.base, offset: 0, sequence: self.first() };
            if lost > 0 {
                return Step::Lost(lost);
            }
        }
        loop {
            match self.entries.get((cursor.entry - self.base) as usize) {
                None => return Step::End { is_closed: self.is_closed },
                Some(Entry::Gap { place, lost, .. }) => {
                    (cursor.entry, cursor.offset) = (cursor.entry + 1, 0);
                    return Step::Gap(place, *lost);
                }
                Some(Entry::Events(chunk)) if cursor.offset < chunk.events.len() => {
                    let offset = std::mem::replace(&mut cursor.offset, chunk.events.len());
                    cursor.sequence = chunk.end();
                    return Step::Events(Arc::clone(chunk), offset);
                }
                // The last chunk can grow.
                Some(Entry::Events(_)) if cursor.entry + 1 == self.base + self.entries.len() as u64 => {
                    return Step::End { is_closed: self.is_closed };
                }
                Some(Entry::Events(_)) => (cursor.entry, cursor.offset) = (cursor.entry + 1, 0),
            }
        }
    }

    /// Removes a reader. Returns how many events were dropped before it read them, and how many it has not read yet.
    pub(super) fn leave(&mut self, reader: u64) -> (u64, u64) {
        self.wakers.remove(&reader);
        let Some(cursor) = self.cursors.remove(&reader) else { return (0, 0) };
        let dropped = self.first().saturating_sub(cursor.sequence);
        (dropped, self.next.saturating_sub(cursor.sequence) - dropped)
    }

    /// Removes and returns the wakers of waiting readers.
    pub(super) fn take_wakers(&mut self) -> HashMap<u64, Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Whether a reader waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.wakers.is_empty()
    }

    /// Returns whether there is more than what is kept for readers that resume.
    pub(super) fn has_excess(&self) -> bool {
        self.text_bytes > 0 || self.events > self.keep + super::chunk::EVENTS as u64
    }

    /// Returns the number of readers.
    pub(super) fn readers(&self) -> usize {
        self.cursors.len()
    }

    /// Returns the number of events.
    pub(super) const fn len(&self) -> usize {
        self.events as usize
    }

    /// Returns the memory of texts.
    pub(super) const fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Returns the memory of events and texts.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes + self.text_bytes
    }

    /// Returns how many events were dropped before present readers read them and are not reported to them yet.
    pub(super) fn lost_unreported(&self) -> u64 {
        self.cursors.values().map(|cursor| self.first().saturating_sub(cursor.sequence)).sum()
    }

    /// Returns how many events a reader has missed that resumes after the event `after`.
    pub(super) fn missing_after(&self, after: u64) -> u64 {
        self.first().saturating_sub(after + 1)
    }

    /// Returns whether events since this time were dropped.
    pub(super) fn has_dropped_since(&self, since: Ktime) -> bool {
        self.dropped_at.is_some_and(|at| at >= since)
    }

    /// Returns the sequence number of the last event.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }
}
