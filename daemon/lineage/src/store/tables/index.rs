//! From a tid to the newest task or life that has it, in one step.
//!
//! Tids are small numbers (below 2^22), handed out in turn: a table by tid needs no hash, and pages that nobody uses are not there.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "a page and an entry are quotient and rest of a tid below the limit"
    )
)]

use crate::model::id::Tid;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// Tids a page: small enough that a few tasks far apart cost little.
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

/// Newest task of each tid; older ones hang on it by `Task::same_tid`.
pub(crate) type TidIndex = TidTable<Ix<Task>>;

// A derive would ask the same of `T`.
impl<T> Default for TidTable<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

const fn page_and_entry(tid: Tid) -> (usize, usize) {
    (tid.0 as usize / PAGE, tid.0 as usize % PAGE)
}

impl<T: Copy> TidTable<T> {
    /// What this tid has.
    pub(crate) fn get(&self, tid: Tid) -> Option<T> {
        let (page, entry) = page_and_entry(tid);
        self.pages.get(page)?.entries.as_ref()?[entry]
    }

    /// Gives a tid another entry, or none; answers what it had. Tids at the limit or above are refused before.
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

    /// Every entry, in the order of tids.
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
