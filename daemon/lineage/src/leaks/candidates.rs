//! Groups that may leak, as the lineage notes them. All others cost a comparison of a number that is at hand.

use crate::Lineage;
use crate::model::id::{GroupKey, Ktime};
use crate::store::Store;
use crate::store::slot::group::Group;
use crate::store::slot::task::Task;
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

/// What a group is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Threads besides the leader that were created so far.
    pub(super) created: u32,
    /// Threads that are not past `exit_notify()`, the leader included.
    pub(super) live: u32,
    /// Children that it has forked so far.
    pub(super) forked: u64,
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

    pub(super) fn take_candidates(&mut self) -> Candidates {
        let births = self.candidates.births;
        let taken = std::mem::take(&mut self.candidates);
        self.candidates.births = births;
        taken
    }
}

impl Lineage {
    /// Returns the leader of a group that is not released.
    pub(super) fn leader_of(&self, key: GroupKey) -> Option<Ix<Task>> {
        let ix = self.store.find_current(key.tgid.leader())?;
        let group = self.store[ix].group()?;
        (self.store[group].key() == key).then(|| self.store[group].leader()).flatten()
    }

    /// Returns the sizes of a group with live tasks.
    pub(super) fn sizes(&self, key: GroupKey) -> Option<Sizes> {
        let group = &self.store[self.store[self.leader_of(key)?].group()?];
        let live = self.store.live(group);
        let created = self.store.extra_of(group).map_or(0, |extra| extra.threads_created);
        let forked = group.debt().map_or(0, |debt| self.store[debt].debt.forked);
        (live > 0).then_some(Sizes { created, live, forked })
    }
}
