//! A file of fixed size in which an output keeps what its memory cannot hold: a ring of encoded records.
//!
//! The file is opened at the start, because the sandbox does not allow it later. It survives the daemon: the next daemon sends what was
//! not sent. Layout: a head of [`HEAD`] bytes (magic, capacity, read and write positions, CRC of these), then the ring; each record is
//! its length, its CRC and its bytes. Positions only grow; modulo the capacity they are places in the ring.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use axum::body::Bytes;

/// One encoded event, or a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) bytes: Bytes,
    /// Whether it is an event; a gap is not counted.
    pub(super) is_event: bool,
}

const MAGIC: &[u8; 8] = b"TSKSPIL1";

/// Bytes before the ring.
const HEAD: u64 = 64;

/// Bytes of the head of a record.
const RECORD_HEAD: usize = 9;

/// The longest valid record; a longer one is damage.
const RECORD_MAX: usize = 1 << 20;

/// An open spill file.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    capacity: u64,
    read: u64,
    write: u64,
    /// Events between the two positions.
    events: u64,
}

impl Spill {
    /// Opens or creates the file. Returns it, and how many bytes of an earlier daemon were damaged and are left out.
    pub(super) fn open(path: &Path, capacity: u64) -> io::Result<(Self, u64)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut spill = Self { file, capacity, read: 0, write: 0, events: 0 };
        let Some((read, write)) = spill.head(capacity) else {
            spill.write_head()?;
            return Ok((spill, 0));
        };
        (spill.read, spill.write) = (read, read);
        // Counts the events, and stops where the ring is damaged.
        let mut at = read;
        while at < write {
            let Some((record, next)) = spill.record(at, write) else { break };
            spill.events += u64::from(record.is_event);
            at = next;
        }
        spill.write = at;
        spill.write_head()?;
        Ok((spill, write - at))
    }

    /// The positions in a valid head of this capacity.
    fn head(&self, capacity: u64) -> Option<(u64, u64)> {
        let mut head = [0; 36];
        self.file.read_exact_at(&mut head, 0).ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let is_whole = head.get(..8)? == MAGIC
            && head.get(32..36)? == crc32(head.get(..32)?).to_le_bytes()
            && number(8)? == capacity;
        let (read, write) = (number(16)?, number(24)?);
        (is_whole && write.checked_sub(read)? <= capacity).then_some((read, write))
    }

    fn write_head(&self) -> io::Result<()> {
        let mut head = Vec::with_capacity(36);
        head.extend_from_slice(MAGIC);
        for number in [self.capacity, self.read, self.write] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let sum = crc32(&head);
        head.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&head, 0)
    }

    /// The record at a position, and the position after it; `None` if it is damaged.
    fn record(&self, at: u64, end: u64) -> Option<(Record, u64)> {
        let mut head = [0; RECORD_HEAD];
        self.read_ring(&mut head, at).ok()?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, kind] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let next = at + (RECORD_HEAD + length) as u64;
        if length > RECORD_MAX || next > end || kind > 1 {
            return None;
        }
        let mut bytes = vec![0; length];
        self.read_ring(&mut bytes, at + RECORD_HEAD as u64).ok()?;
        (crc32(&bytes) == u32::from_le_bytes([c0, c1, c2, c3]))
            .then(|| (Record { bytes: bytes.into(), is_event: kind == 1 }, next))
    }

    fn read_ring(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let place = at % self.capacity;
        let first = usize::try_from(self.capacity - place).unwrap_or(usize::MAX).min(bytes.len());
        let (one, two) = bytes.split_at_mut(first);
        self.file.read_exact_at(one, HEAD + place)?;
        self.file.read_exact_at(two, HEAD)
    }

    fn write_ring(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let place = at % self.capacity;
        let first = usize::try_from(self.capacity - place).unwrap_or(usize::MAX).min(bytes.len());
        let (one, two) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
        self.file.write_all_at(one, HEAD + place)?;
        self.file.write_all_at(two, HEAD)
    }

    /// Appends a record. Returns false if there is no room.
    pub(super) fn push(&mut self, record: &Record) -> io::Result<bool> {
        let length = (RECORD_HEAD + record.bytes.len()) as u64;
        if record.bytes.len() > RECORD_MAX || self.bytes() + length > self.capacity {
            return Ok(false);
        }
        let mut text = Vec::with_capacity(RECORD_HEAD + record.bytes.len());
        text.extend_from_slice(&(record.bytes.len() as u32).to_le_bytes());
        text.extend_from_slice(&crc32(&record.bytes).to_le_bytes());
        text.push(u8::from(record.is_event));
        text.extend_from_slice(&record.bytes);
        self.write_ring(&text, self.write)?;
        self.write += length;
        self.events += u64::from(record.is_event);
        self.write_head()?;
        Ok(true)
    }

    /// Takes the oldest record; `None` if there is none, or if it cannot be read: then the rest of the file is dropped.
    pub(super) fn pop(&mut self) -> Option<Record> {
        if self.is_empty() {
            return None;
        }
        let Some((record, next)) = self.record(self.read, self.write) else {
            self.read = self.write;
            let _ = self.write_head();
            return None;
        };
        self.read = next;
        self.events = self.events.saturating_sub(u64::from(record.is_event));
        // If this fails, the next daemon sends the record once more.
        let _ = self.write_head();
        Some(record)
    }

    /// Returns the number of events that were lost with damaged records, and sets it to 0.
    pub(super) const fn take_lost(&mut self) -> u64 {
        if self.is_empty() { std::mem::replace(&mut self.events, 0) } else { 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.read == self.write
    }

    /// Bytes in use.
    pub(super) const fn bytes(&self) -> u64 {
        self.write - self.read
    }

    pub(super) const fn events(&self) -> u64 {
        self.events
    }
}

/// CRC-32 (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record { bytes: format!("record {number}").into_bytes().into(), is_event: true }
    }

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("taskscope-spill-{name}-{}", std::process::id()))
    }

    #[test]
    fn records_come_back_in_order_around_the_end_of_the_ring_and_after_a_restart() {
        let path = path("ring");
        let (mut spill, _) = Spill::open(&path, 200).unwrap();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..50 {
            while spill.push(&record(pushed)).unwrap() {
                pushed += 1;
            }
            if round % 7 == 0 {
                let damaged;
                (spill, damaged) = Spill::open(&path, 200).unwrap();
                assert_eq!(damaged, 0);
            }
            assert_eq!(spill.events(), pushed - popped);
            for _ in 0..3 {
                assert_eq!(spill.pop().unwrap(), record(popped));
                popped += 1;
            }
        }
        assert!(pushed > 100);
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn a_damaged_file_costs_what_is_damaged_and_what_is_after_it() {
        let path = path("damaged");
        let (mut spill, _) = Spill::open(&path, 1000).unwrap();
        for number in 0..5 {
            assert!(spill.push(&record(number)).unwrap());
        }
        spill.file.write_all_at(b"X", HEAD + 2 * (RECORD_HEAD as u64 + 8) + 12).unwrap();
        let (mut spill, damaged) = Spill::open(&path, 1000).unwrap();
        assert_eq!((spill.events(), damaged), (2, 3 * (RECORD_HEAD as u64 + 8)));
        assert_eq!([spill.pop(), spill.pop(), spill.pop()], [Some(record(0)), Some(record(1)), None]);
        // A file of another capacity, or another file, starts empty.
        std::fs::write(&path, b"something else").unwrap();
        assert!(Spill::open(&path, 1000).unwrap().0.is_empty());
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn the_check_sum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
