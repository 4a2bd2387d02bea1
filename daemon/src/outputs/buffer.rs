//! The records of one output that are encoded and not sent yet: bounded, in memory and, if there is one, in a spill file.
//!
//! The oldest are in memory. If there is no room, the newest are dropped, and a gap record with their number precedes the next record
//! for which there is room. So the gap is where the events are missing.

use std::collections::VecDeque;

use axum::body::Bytes;

use super::spill::{Record, Spill};

/// The most bytes in memory, besides the most records.
const BYTES: usize = 8 << 20;

/// The records that wait in one output.
#[derive(Debug)]
pub(super) struct Buffer {
    records: VecDeque<Record>,
    bytes: usize,
    /// The most records in memory.
    most: usize,
    spill: Option<Spill>,
    /// Events that were dropped since the last record.
    gap: u64,
}

impl Buffer {
    pub(super) fn new(most: usize, spill: Option<Spill>) -> Self {
        Self { records: VecDeque::new(), bytes: 0, most, spill, gap: 0 }
    }

    /// Appends a record. Returns how many events were dropped for lack of room: 1 if this record was, otherwise 0. `make_gap`
    /// encodes a gap.
    pub(super) fn push(&mut self, record: Record, make_gap: impl FnOnce(u64) -> Bytes) -> u64 {
        if self.gap > 0 {
            let gap = Record { bytes: make_gap(self.gap), is_event: false };
            if !self.put(gap) {
                return self.drop_one(&record);
            }
            self.gap = 0;
        }
        let is_event = record.is_event;
        if self.put(record) {
            return 0;
        }
        self.gap += u64::from(is_event);
        u64::from(is_event)
    }

    const fn drop_one(&mut self, record: &Record) -> u64 {
        let count = record.is_event as u64;
        self.gap += count;
        count
    }

    /// Notes events that were dropped elsewhere.
    pub(super) const fn note_gap(&mut self, count: u64) {
        self.gap += count;
    }

    /// Appends a pending gap record if no record waits in memory, so that the gap is sent without the next event. Returns whether
    /// the gap was appended.
    pub(super) fn append_gap(&mut self, make_gap: impl FnOnce(u64) -> Bytes) -> bool {
        if self.gap == 0 || !self.records.is_empty() {
            return false;
        }
        let gap = Record { bytes: make_gap(self.gap), is_event: false };
        let is_queued = self.put(gap);
        self.gap = if is_queued { 0 } else { self.gap };
        is_queued
    }

    fn put(&mut self, record: Record) -> bool {
        let is_spilling = self.spill.as_ref().is_some_and(|spill| !spill.is_empty());
        if !is_spilling && self.has_room() {
            self.bytes += record.bytes.len();
            self.records.push_back(record);
            return true;
        }
        self.spill.as_mut().is_some_and(|spill| spill.push(&record).unwrap_or(false))
    }

    fn has_room(&self) -> bool {
        self.records.len() < self.most && self.bytes < BYTES
    }

    /// Moves records from the spill file to memory, if half of the memory is free. Returns how many events the file has lost.
    fn refill(&mut self) -> u64 {
        let Some(mut spill) = self.spill.take() else { return 0 };
        if self.records.len() < self.most.div_ceil(2) {
            while self.has_room()
                && let Some(record) = spill.pop()
            {
                self.bytes += record.bytes.len();
                self.records.push_back(record);
            }
        }
        let lost = spill.take_lost();
        self.gap += lost;
        self.spill = Some(spill);
        lost
    }

    /// Returns the oldest records without removing them, at most `most` and at most `bytes`, but at least one; and the number of events that
    /// were lost in the spill file.
    pub(super) fn oldest(&mut self, most: usize, bytes: usize) -> (Vec<Record>, u64) {
        let lost = self.refill();
        let mut sum = 0;
        let oldest = self.records.iter().take(most).take_while(|record| {
            let is_first = sum == 0;
            sum += record.bytes.len();
            is_first || sum <= bytes
        });
        (oldest.cloned().collect(), lost)
    }

    /// Removes the oldest records. Returns how many events are among them.
    pub(super) fn remove(&mut self, count: usize) -> u64 {
        let mut events = 0;
        for record in self.records.drain(..count.min(self.records.len())) {
            self.bytes -= record.bytes.len();
            events += u64::from(record.is_event);
        }
        events
    }

    /// Writes what is in memory to the spill file, at the end. Returns how many events found no room there.
    pub(super) fn save(&mut self) -> u64 {
        let mut lost = 0;
        for record in std::mem::take(&mut self.records) {
            let is_saved = self.spill.as_mut().is_some_and(|spill| spill.push(&record).unwrap_or(false));
            lost += u64::from(record.is_event && !is_saved);
        }
        self.bytes = 0;
        lost
    }

    /// Returns the number of events that wait, and the bytes in the spill file.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let in_file = self.spill.as_ref().map_or((0, 0), |spill| (spill.events(), spill.bytes()));
        (self.records.len() as u64 + in_file.0, in_file.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(number: u64) -> Record {
        Record { bytes: number.to_string().into_bytes().into(), is_event: true }
    }

    fn gap(count: u64) -> Bytes {
        format!("gap {count}").into_bytes().into()
    }

    proptest! {
        #[test]
        fn every_event_is_sent_or_in_a_gap_at_its_place(
            most in 1..20_usize,
            spill in prop::option::of(60..600_u64),
            steps in prop::collection::vec((0..30_u64, 0..40_usize), 1..40),
        ) {
            let path = std::env::temp_dir().join(format!("taskscope-buffer-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let spill = spill.map(|bytes| Spill::open(&path, bytes).unwrap().0);
            let mut buffer = Buffer::new(most, spill);
            let (mut pushed, mut dropped, mut next) = (0, 0, 0);
            for (more, take) in steps {
                for _ in 0..more {
                    dropped += buffer.push(event(pushed), gap);
                    pushed += 1;
                }
                let (records, lost) = buffer.oldest(take, 1 << 20);
                prop_assert_eq!(lost, 0);
                for record in &records {
                    let text = std::str::from_utf8(&record.bytes).unwrap();
                    if let Some(count) = text.strip_prefix("gap ") {
                        next += count.parse::<u64>().unwrap();
                    } else {
                        prop_assert_eq!(text.parse::<u64>().unwrap(), next);
                        next += 1;
                    }
                }
                buffer.remove(records.len());
                prop_assert!(buffer.records.len() <= most);
            }
            let _ = std::fs::remove_file(&path);
            prop_assert!(next <= pushed && dropped <= pushed);
        }
    }

    #[test]
    fn a_gap_is_queued_without_another_event() {
        let mut buffer = Buffer::new(2, None);
        let dropped: u64 = (0..5).map(|number| buffer.push(event(number), gap)).sum();
        assert_eq!(dropped, 3);
        assert!(!buffer.append_gap(gap), "not before older events");
        assert_eq!(buffer.oldest(9, 99).0.len(), 2);
        assert_eq!(buffer.remove(2), 2);
        assert!(buffer.append_gap(gap));
        assert_eq!(buffer.oldest(9, 99).0, [Record { bytes: gap(3), is_event: false }]);
    }
}
