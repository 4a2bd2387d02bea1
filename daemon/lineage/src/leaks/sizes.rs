//! The numbers of a group that a poll follows.

use crate::Lineage;
use crate::model::id::GroupKey;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// The numbers of a group at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Threads besides the leader that were created so far.
    pub(super) created: u32,
    /// Threads that are not past `exit_notify()`, the leader included.
    pub(super) live: u32,
    /// Children that it has forked so far.
    pub(super) forked: u64,
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
