//! Groups that may leak, noted for the next poll of `leaks`. For any other group the cost is one comparison of a number that is already loaded.

use crate::model::id::{GroupKey, Ktime};
use crate::store::Store;
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

/// A group is noted whenever the number of its threads besides the leader is a multiple of this.
pub(crate) const THREADS: u32 = 16;
/// A group is noted whenever the number of its forks is a multiple of this.
pub(crate) const FORKS: u64 = 128;
/// The most groups of a kind that are noted between two polls.
const MOST: usize = 1_024;

/// Groups that were noted since the last poll.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) threads: Vec<GroupKey>,
    pub(crate) forkers: Vec<GroupKey>,
    /// Groups that were reparented to an init or a subreaper, and when.
    pub(crate) reparented: Vec<(GroupKey, Ktime)>,
    /// Processes that were forked.
    pub(crate) births: u64,
}

impl Store {
    /// Notes a group that has many threads.
    #[cold]
    pub(crate) fn note_many_threads(&mut self, group: Ix<Group>) {
        let key = self[group].key();
        let noted = &mut self.candidates.threads;
        if noted.last() != Some(&key) && noted.len() < MOST {
            noted.push(key);
        }
    }

    /// Notes a group that has forked often.
    #[cold]
    pub(crate) fn note_many_forks(&mut self, group: Ix<Group>) {
        let key = self[group].key();
        let noted = &mut self.candidates.forkers;
        if !noted.ends_with(&[key]) && noted.len() < MOST {
            noted.push(key);
        }
    }

    /// Notes a group that an init or a subreaper has adopted.
    #[cold]
    pub(crate) fn note_adopted(&mut self, group: Ix<Group>, at: Ktime) {
        let key = self[group].key();
        let noted = &mut self.candidates.reparented;
        if noted.len() < MOST {
            noted.push((key, at));
        }
    }

    pub(crate) fn take_candidates(&mut self) -> Candidates {
        let births = self.candidates.births;
        let taken = std::mem::take(&mut self.candidates);
        self.candidates.births = births;
        taken
    }

    /// Counts a process that was forked.
    #[inline]
    pub(crate) const fn count_birth(&mut self) {
        self.candidates.births += 1;
    }

    /// Returns how many processes were forked so far.
    pub(crate) const fn births(&self) -> u64 {
        self.candidates.births
    }
}
