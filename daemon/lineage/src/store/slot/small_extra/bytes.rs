//! Writes numbers and times into a few bytes, and reads them.

use super::{BYTES, Base};
use crate::model::id::{Ktime, Tgid};

/// Each time has half a byte with its length in bytes. With this bit, the time counts from `Base::parent_at`.
const FROM_PARENT_AT: u8 = 1 << 3;
const MOST_TIME_BYTES: usize = 7;
const TGID_BYTES: usize = 3;

/// Returns the number of bytes that a number needs.
const fn length(number: u64) -> usize {
    (64 - number.leading_zeros()).div_ceil(8) as usize
}

/// Returns the distance of a time from another; the lowest bit is the direction.
pub(super) const fn distance(time: Ktime, from: Ktime) -> u64 {
    let signed = time.0.wrapping_sub(from.0).cast_signed();
    (signed << 1 ^ signed >> 63).cast_unsigned()
}

pub(super) const fn at_distance(distance: u64, from: Ktime) -> Ktime {
    Ktime(from.0.wrapping_add(distance >> 1 ^ (distance & 1).wrapping_neg()))
}

/// Writes into the 20 bytes until they are full.
pub(super) struct Writer {
    pub(super) bytes: [u8; BYTES],
    pub(super) at: usize,
}

impl Writer {
    /// Writes the lowest bytes of a number. Returns `None` if there is no room.
    pub(super) fn put(&mut self, number: u64, bytes: usize) -> Option<()> {
        let room = self.bytes.get_mut(self.at..self.at + bytes)?;
        room.copy_from_slice(number.to_le_bytes().get(..bytes)?);
        self.at += bytes;
        Some(())
    }

    /// Writes a number of variable length: the highest bit of each byte shows whether another byte follows.
    pub(super) fn put_count(&mut self, mut count: u32) -> Option<()> {
        while count > 0x7f {
            self.put(u64::from(count & 0x7f | 0x80), 1)?;
            count >>= 7;
        }
        self.put(u64::from(count), 1)
    }

    pub(super) fn put_tgid(&mut self, tgid: Tgid) -> Option<()> {
        if length(u64::from(tgid.0)) > TGID_BYTES {
            return None;
        }
        self.put(u64::from(tgid.0), TGID_BYTES)
    }

    pub(super) fn put_times(&mut self, times: impl Iterator<Item = Ktime> + Clone, base: Base) -> Option<()> {
        let near = |time| {
            let (from_start, from_parent_at) = (distance(time, base.start), distance(time, base.parent_at));
            if from_start <= from_parent_at { (from_start, 0) } else { (from_parent_at, FROM_PARENT_AT) }
        };
        let mut lengths = 0;
        let mut count = 0;
        for (distance, from) in times.clone().map(near) {
            let bytes = length(distance);
            if bytes > MOST_TIME_BYTES {
                return None;
            }
            lengths |= (bytes as u64 | u64::from(from)) << (4 * count);
            count += 1;
        }
        self.put(lengths, usize::div_ceil(count, 2))?;
        for (distance, _) in times.map(near) {
            self.put(distance, length(distance))?;
        }
        Some(())
    }
}

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8; BYTES],
    pub(super) at: usize,
}

impl Reader<'_> {
    pub(super) fn take(&mut self, bytes: usize) -> u64 {
        let mut number = [0; 8];
        for byte in number.iter_mut().take(bytes) {
            *byte = self.bytes.get(self.at).copied().unwrap_or_default();
            self.at += 1;
        }
        u64::from_le_bytes(number)
    }

    pub(super) fn take_count(&mut self) -> u32 {
        let (mut count, mut shift) = (0, 0);
        loop {
            // One byte.
            let byte = self.take(1) as u32;
            count |= (byte & 0x7f) << shift;
            shift += 7;
            if byte <= 0x7f || shift > 28 {
                return count;
            }
        }
    }

    pub(super) fn take_tgid(&mut self) -> Tgid {
        // Three bytes.
        Tgid(self.take(TGID_BYTES) as u32)
    }

    pub(super) fn take_times<const N: usize>(
        &mut self,
        are_there: [bool; N],
        base: Base,
    ) -> [Option<Ktime>; N] {
        let count = are_there.iter().filter(|&&is_there| is_there).count();
        let mut lengths = self.take(count.div_ceil(2));
        are_there.map(|is_there| {
            is_there.then(|| {
                let (bytes, from) = (lengths & 7, lengths & u64::from(FROM_PARENT_AT));
                lengths >>= 4;
                let distance = self.take(bytes as usize);
                at_distance(distance, if from == 0 { base.start } else { base.parent_at })
            })
        })
    }
}
