//! The part of the ring's data that is mapped.
//!
//! When a ring is mapped, the kernel maps all of its pages at once, and each counts as resident memory. So the reader maps one part
//! of the data at a time, and the next part when it gets there. That takes the kernel about 100 ns for each page, which has room
//! for some 30 records.

use std::{io, os::fd::BorrowedFd, slice, sync::atomic::AtomicU64};

use crate::kernel::mapped::Mapping;

/// Bytes of a part, if the ring is not smaller.
pub(in crate::kernel) const PART: usize = 128 << 10;

/// A part of the data.
#[derive(Debug)]
pub(in crate::kernel) struct Window {
    mapping: Mapping,
    /// Bytes of the map before the data.
    before: usize,
    /// Place of the part in the data.
    from: usize,
    /// Bytes of the part, a power of two.
    bytes: usize,
}

impl Window {
    /// Maps the first part of the data, which begins `before` bytes into the map. `bytes` is the size of each part.
    pub(in crate::kernel) fn new(map: BorrowedFd<'_>, before: usize, bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::readable(map, before, bytes)?, before, from: 0, bytes })
    }

    /// Maps the part that has the byte at `at`, if another part is mapped. After an error, the former part is still mapped.
    #[inline]
    pub(in crate::kernel) fn move_to(&mut self, map: BorrowedFd<'_>, at: usize) -> io::Result<()> {
        let from = at & !(self.bytes - 1);
        if from == self.from { Ok(()) } else { self.map_part(map, from) }
    }

    #[cold]
    fn map_part(&mut self, map: BorrowedFd<'_>, from: usize) -> io::Result<()> {
        self.mapping = Mapping::readable(map, self.before + from, self.bytes)?;
        self.from = from;
        Ok(())
    }

    /// The word at `at`; `None` if its part is not mapped.
    pub(in crate::kernel) fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.mapping.words().get(at.checked_sub(self.from)? / size_of::<AtomicU64>())
    }

    /// Returns at most `most` bytes from `at` on, up to the end of the part.
    ///
    /// # Safety
    ///
    /// Nothing may write these bytes while the slice is in use.
    pub(in crate::kernel) unsafe fn bytes(&self, at: usize, most: usize) -> &[u8] {
        let begin = at.saturating_sub(self.from).min(self.bytes);
        let count = most.min(self.bytes - begin);
        // SAFETY: the mapping has `self.bytes` bytes, and the caller keeps them from being written.
        unsafe { slice::from_raw_parts(self.mapping.start().add(begin), count) }
    }
}
