//! From a tid to the newest task that has it, in one step.
//!
//! Tids are small numbers (below 2^22), handed out in turn: a table by tid needs no hash, and pages that nobody uses are not there.

use crate::model::id::Tid;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// Tids a page: small enough that a few tasks far apart cost little.
const PAGE: usize = 256;
/// `PID_MAX_LIMIT` on 64-bit kernels; no tid reaches it.
pub(crate) const TID_LIMIT: u32 = 4 * 1024 * 1024;

#[derive(Default)]
struct Page {
    tasks: Option<Box<[Option<Ix<Task>>; PAGE]>>,
    used: u16,
}

/// Newest task of each tid; older ones hang on it by `Task::same_tid`.
#[derive(Default)]
pub(crate) struct TidIndex {
    pages: Vec<Page>,
}

const fn page_and_entry(tid: Tid) -> (usize, usize) {
    (tid.0 as usize / PAGE, tid.0 as usize % PAGE)
}

impl TidIndex {
    /// The newest task with this tid.
    pub(crate) fn get(&self, tid: Tid) -> Option<Ix<Task>> {
        let (page, entry) = page_and_entry(tid);
        self.pages.get(page)?.tasks.as_ref()?[entry]
    }

    /// Makes `task` the newest of this tid, or none; gives back what was there. Tids at the limit or above are refused before.
    pub(crate) fn set(&mut self, tid: Tid, task: Option<Ix<Task>>) -> Option<Ix<Task>> {
        let (number, entry) = page_and_entry(tid);
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, Page::default);
        }
        let page = &mut self.pages[number];
        if page.tasks.is_none() && task.is_none() {
            return None;
        }
        let tasks = page.tasks.get_or_insert_with(|| Box::new([None; PAGE]));
        let before = std::mem::replace(&mut tasks[entry], task);
        match (before.is_some(), task.is_some()) {
            (false, true) => page.used += 1,
            (true, false) => page.used -= 1,
            _ => {}
        }
        if page.used == 0 {
            page.tasks = None;
        }
        before
    }

    /// Every tid's newest task.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Ix<Task>> {
        self.pages
            .iter()
            .filter_map(|page| page.tasks.as_ref())
            .flat_map(|tasks| tasks.iter().copied().flatten())
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page>()
            + self.pages.iter().filter(|page| page.tasks.is_some()).count()
                * size_of::<[Option<Ix<Task>>; PAGE]>()
    }
}
