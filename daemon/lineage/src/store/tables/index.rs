//! A table from tids to values.
//!
//! Tids are below 2^22 and the kernel assigns them in sequence, so the table needs no hash, and unused pages of it are not
//! allocated.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "a page and an entry are quotient and remainder of a tid below the limit"
    )
)]

use crate::model::id::Tid;

/// Tids per page: few enough that scattered tids take little memory.
const PAGE: usize = 256;
/// `PID_MAX_LIMIT` on 64-bit kernels; no tid reaches it.
pub(crate) const TID_LIMIT: u32 = 4 * 1024 * 1024;

struct Page<T> {
    entries: Option<Box<[Option<T>; PAGE]>>,
    used: u16,
}

/// An entry for each tid.
pub(crate) struct TidTable<T> {
    pages: Vec<Page<T>>,
}

// A derive would require the same trait of `T`.
impl<T> Default for TidTable<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

const fn page_and_entry(tid: Tid) -> (usize, usize) {
    (tid.0 as usize / PAGE, tid.0 as usize % PAGE)
}

impl<T: Copy> TidTable<T> {
    /// Returns the value of this tid.
    pub(crate) fn get(&self, tid: Tid) -> Option<T> {
        let (page, entry) = page_and_entry(tid);
        self.pages.get(page)?.entries.as_ref()?[entry]
    }

    /// Sets or removes the value of a tid, and returns the former value. Callers refuse tids at the limit or above.
    pub(crate) fn set(&mut self, tid: Tid, value: Option<T>) -> Option<T> {
        let (number, entry) = page_and_entry(tid);
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || Page { entries: None, used: 0 });
        }
        let page = &mut self.pages[number];
        if page.entries.is_none() && value.is_none() {
            return None;
        }
        let entries = page.entries.get_or_insert_with(|| Box::new([None; PAGE]));
        let before = std::mem::replace(&mut entries[entry], value);
        match (before.is_some(), value.is_some()) {
            (false, true) => page.used += 1,
            (true, false) => page.used -= 1,
            _ => {}
        }
        if page.used == 0 {
            page.entries = None;
        }
        before
    }

    /// Returns every value, in the order of tids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.pages
            .iter()
            .filter_map(|page| page.entries.as_ref())
            .flat_map(|entries| entries.iter().copied().flatten())
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page<T>>()
            + self.pages.iter().filter(|page| page.entries.is_some()).count() * size_of::<[Option<T>; PAGE]>()
    }
}
