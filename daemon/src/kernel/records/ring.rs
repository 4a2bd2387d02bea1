//! Takes records from a ring buffer of the kernel (`BPF_MAP_TYPE_RINGBUF`).
//!
//! aya's reader maps the data twice, one mapping after the other, so that a record that wraps around the end of the ring is contiguous.
//! Every mapped page counts as resident memory. So this reader maps one part of the data at a time (`window`), and copies the few
//! records that lie in two parts or wrap around.
//! Layout and order: <https://elixir.bootlin.com/linux/v6.18/source/kernel/bpf/ringbuf.c>.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{Ordering, fence},
};

use aya::maps::MapData;
use rustix::param::page_size;

use crate::kernel::{
    mapped::Mapping,
    window::{PART, Window},
};

/// `BPF_RINGBUF_BUSY_BIT`: a program has reserved the record and not submitted it yet.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: the program has discarded the record.
const DISCARDED: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`: length and flags, and the kernel's own number.
const HEADER: usize = 8;

/// The consumer position is updated once per this many records, because each update costs the programs a cache miss.
const GIVE_BACK_AFTER: usize = 32;

/// The reader of a ring; there is one.
#[derive(Debug)]
pub(in crate::kernel) struct Ring {
    map: MapData,
    memory: Memory,
    /// A record that does not lie in one part of the data, in one piece.
    whole: Vec<u8>,
}

/// The pages of a ring.
#[derive(Debug)]
struct Memory {
    /// Its first word is the consumer position: how far the reader has read.
    consumer: Mapping,
    /// Its first word is the producer position: how far the programs have reserved.
    producer: Mapping,
    data: Window,
    /// Bytes of the data, a power of two.
    size: usize,
    /// How far the reader has read, bytes. Positions only grow, and wrap around at the end of u64.
    at: u64,
    /// Whether the last try to map a part of the data failed.
    is_stuck: bool,
}

/// What is next in the ring.
enum Next {
    /// Nothing, or a record that is not submitted yet.
    Nothing,
    /// A record: its offset in the data, its length, and whether the program discarded it.
    Record { from: usize, length: usize, is_discarded: bool },
}

/// The first of the two numbers that lie in one word of memory.
const fn first_half(word: u64) -> u32 {
    if cfg!(target_endian = "big") { (word >> 32) as u32 } else { word as u32 }
}

impl Ring {
    /// Maps the ring.
    pub(in crate::kernel) fn new(map: MapData, size: u32) -> io::Result<Self> {
        let memory = Memory::new(map.fd().as_fd(), page_size(), size as usize, PART)?;
        Ok(Self { map, memory, whole: Vec::new() })
    }

    /// Passes up to `limit` records to `take`. Returns how many there were.
    pub(in crate::kernel) fn drain(&mut self, limit: usize, take: impl FnMut(&[u8])) -> usize {
        self.memory.drain(self.map.fd().as_fd(), limit, &mut self.whole, take)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

impl Memory {
    /// Maps a ring with `size` bytes of data, of which at most `part` at a time.
    fn new(map: BorrowedFd<'_>, page: usize, size: usize, part: usize) -> io::Result<Self> {
        let (consumer, producer) = (Mapping::writable(map, page)?, Mapping::readable(map, page, page)?);
        let data = Window::new(map, 2 * page, part.min(size))?;
        let at = consumer.words().first().map_or(0, |word| word.load(Ordering::Acquire));
        Ok(Self { consumer, producer, data, size, at, is_stuck: false })
    }

    fn drain(
        &mut self,
        map: BorrowedFd<'_>,
        limit: usize,
        whole: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]),
    ) -> usize {
        let (mut taken, mut given_back) = (0, self.at);
        while taken < limit {
            let (from, length) = match self.next(map) {
                Next::Record { from, length, is_discarded: false } => (from, length),
                Next::Record { length, is_discarded: true, .. } => {
                    self.pass(length);
                    continue;
                }
                // A program does not wake up the reader while the consumer position shows unread records. So publish the position
                // first, then check once more for records that arrived in between.
                Next::Nothing if self.at != given_back => {
                    self.give_back();
                    given_back = self.at;
                    continue;
                }
                Next::Nothing => return taken,
            };
            let Some(bytes) = self.bytes(map, from, length, whole) else { break };
            take(bytes);
            self.pass(length);
            taken += 1;
            if taken.is_multiple_of(GIVE_BACK_AFTER) {
                self.give_back();
                given_back = self.at;
            }
        }
        self.give_back();
        taken
    }

    fn next(&mut self, map: BorrowedFd<'_>) -> Next {
        let produced = self.producer.words().first().map_or(0, |word| word.load(Ordering::Acquire));
        if produced == self.at {
            return Next::Nothing;
        }
        let from = self.at as usize & (self.size - 1);
        if !self.move_to(map, from) {
            return Next::Nothing;
        }
        // The record was written before its length was.
        let Some(header) = self.data.word(from).map(|word| word.load(Ordering::Acquire)) else {
            return Next::Nothing;
        };
        let header = first_half(header);
        if header & BUSY != 0 {
            return Next::Nothing;
        }
        let length = (header & !DISCARDED) as usize;
        Next::Record { from, length, is_discarded: header & DISCARDED != 0 }
    }

    /// Maps the part of the data that has the byte at `at`. Returns false if that fails: the records then stay in the ring until
    /// the next try, and new records for which the ring has no room are counted as lost.
    fn move_to(&mut self, map: BorrowedFd<'_>, at: usize) -> bool {
        let result = self.data.move_to(map, at);
        if let Err(error) = &result
            && !self.is_stuck
        {
            log::error!("mapping the ring buffer: {error}; records wait in it");
        }
        self.is_stuck = result.is_err();
        !self.is_stuck
    }

    /// The bytes of the record at `from`; `None` if they cannot be mapped.
    fn bytes<'a>(
        &'a mut self,
        map: BorrowedFd<'_>,
        from: usize,
        length: usize,
        whole: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        let mut begin = (from + HEADER) & (self.size - 1);
        // No record is longer than the data. The limit keeps a damaged length from deciding how much memory is allocated.
        let mut left = length.min(self.size);
        whole.clear();
        loop {
            if !self.move_to(map, begin) {
                return None;
            }
            // SAFETY: the programs do not write a record that is submitted and not given back.
            let piece = unsafe { self.data.bytes(begin, left) };
            if piece.len() == left && whole.is_empty() {
                // SAFETY: as above. The part stays mapped as long as the bytes are borrowed.
                return Some(unsafe { self.data.bytes(begin, left) });
            }
            whole.extend_from_slice(piece);
            left -= piece.len();
            if left == 0 {
                return Some(whole);
            }
            begin = (begin + piece.len()) & (self.size - 1);
        }
    }

    /// Moves the position past a record.
    const fn pass(&mut self, length: usize) {
        self.at = self.at.wrapping_add((HEADER + length).next_multiple_of(HEADER) as u64);
    }

    /// Gives the space of all records read so far back to the programs.
    fn give_back(&self) {
        if let Some(word) = self.consumer.words().first() {
            word.store(self.at, Ordering::Release);
        }
        // Either this sees the next record, or the program that submits it sees the position and wakes up the reader.
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, os::fd::OwnedFd};

    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    const PAGE: usize = 4096;
    const SIZE: usize = 4 * PAGE;

    /// The kernel's side, over memory that it shares with a reader.
    struct Programs {
        memory: Memory,
        file: OwnedFd,
        /// The file: a page of the reader, a page of the programs, the data.
        shared: Mapping,
        produced: u64,
        /// Records that are in the ring: the bytes of each, and whether it is a record and not discarded.
        queued: VecDeque<(Vec<u8>, bool)>,
        /// Positions and headers of records that are reserved but not submitted.
        busy: VecDeque<(u64, u32)>,
    }

    impl Programs {
        fn new(begin: u64) -> Self {
            let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&file, (2 * PAGE + SIZE) as u64).unwrap();
            let shared = Mapping::writable(file.as_fd(), 2 * PAGE + SIZE).unwrap();
            for page in 0..2 {
                shared.words()[page * PAGE / 8].store(begin, Ordering::Relaxed);
            }
            let memory = Memory::new(file.as_fd(), PAGE, SIZE, PAGE).unwrap();
            let (queued, busy) = (VecDeque::new(), VecDeque::new());
            Self { memory, file, shared, produced: begin, queued, busy }
        }

        fn write_header(&self, at: u64, length: u32) {
            let mut word = [0; 8];
            word[..4].copy_from_slice(&length.to_ne_bytes());
            let header = &self.shared.words()[(2 * PAGE + (at as usize & (SIZE - 1))) / 8];
            header.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }

        /// Reserves and fills a record, as far as there is room.
        fn reserve(&mut self, bytes: &[u8], is_discarded: bool) -> bool {
            let consumed = self.memory.consumer.words()[0].load(Ordering::Relaxed);
            let needed = (HEADER + bytes.len()).next_multiple_of(HEADER) as u64;
            if self.produced + needed - consumed > SIZE as u64 {
                return false;
            }
            for (n, byte) in bytes.iter().enumerate() {
                let at = (self.produced as usize + HEADER + n) & (SIZE - 1);
                // SAFETY: the address is within the file of the test, and the reader takes only records that were submitted.
                unsafe { self.shared.start().add(2 * PAGE + at).cast_mut().write(*byte) };
            }
            let flags = if is_discarded { DISCARDED } else { 0 };
            self.write_header(self.produced, bytes.len() as u32 | BUSY);
            self.busy.push_back((self.produced, bytes.len() as u32 | flags));
            self.queued.push_back((bytes.to_vec(), is_discarded));
            self.produced += needed;
            self.shared.words()[PAGE / 8].store(self.produced, Ordering::Relaxed);
            true
        }

        fn submit(&mut self) {
            if let Some((at, header)) = self.busy.pop_front() {
                self.write_header(at, header);
            }
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_once_whole_and_in_order(
            begin in (0..2 * SIZE as u64).prop_map(|at| at & !7),
            steps in prop::collection::vec((0..3_u8, 0..1500_usize, 0..70_usize, any::<bool>()), 1..200),
        ) {
            let mut programs = Programs::new(begin);
            let mut whole = Vec::new();
            let mut number = 0_u8;
            for (step, length, limit, is_discarded) in steps {
                match step {
                    0 => {
                        number = number.wrapping_add(1);
                        programs.reserve(&vec![number; length], is_discarded && length % 3 == 0);
                    }
                    1 => programs.submit(),
                    _ => {
                        let mut got = Vec::new();
                        let map = programs.file.as_fd();
                        let taken = programs.memory.drain(map, limit, &mut whole, |bytes| got.push(bytes.to_vec()));
                        prop_assert_eq!(taken, got.len());
                        let mut expected = Vec::new();
                        while expected.len() < limit && programs.queued.len() > programs.busy.len() {
                            let (bytes, is_discarded) = programs.queued.pop_front().unwrap();
                            if !is_discarded {
                                expected.push(bytes);
                            }
                        }
                        prop_assert_eq!(got, expected);
                        let given_back = programs.memory.consumer.words()[0].load(Ordering::Relaxed);
                        prop_assert_eq!(given_back, programs.memory.at, "all space is given back");
                    }
                }
            }
        }
    }
}
