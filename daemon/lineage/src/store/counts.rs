//! How much is stored.

use std::sync::Arc;

use crate::model::path_name::PathName;
use crate::model::task::StateCounts;
use crate::store::Store;

impl Store {
    /// Tasks, released ones that are still kept among them.
    pub(crate) const fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Groups, the idle task's among them.
    pub(crate) const fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Groups whose leader is dead while other tasks of theirs live.
    pub(crate) const fn dead_leader_count(&self) -> usize {
        self.dead_leaders
    }

    /// Tasks by state.
    pub(crate) const fn state_counts(&self) -> &StateCounts {
        &self.state_counts
    }

    /// Pid namespaces whose init is known, the initial one left out.
    pub(crate) fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    /// Paths of programs.
    pub(crate) fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// The one copy of a path.
    pub(crate) fn share_path(&mut self, path: &[u8]) -> Arc<PathName> {
        self.paths.share(path)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> StoreBytes {
        let shared = self.extras.used_bytes()
            + self.small_extras.used_bytes()
            + self.rares.used_bytes()
            + self.pending_reparents.used_bytes();
        let used = self.tasks.used_bytes()
            + self.groups.used_bytes()
            + self.debts.used_bytes()
            + self.sums.used_bytes()
            + self.usages.used_bytes()
            + shared;
        let slots = self.tasks.bytes()
            + self.groups.bytes()
            + self.debts.bytes()
            + self.sums.bytes()
            + self.usages.bytes()
            + self.extras.bytes()
            + self.small_extras.bytes()
            + self.rares.bytes()
            + self.pending_reparents.bytes();
        let tables = self.index.bytes() + self.paths.bytes() + self.profiles.bytes();
        StoreBytes { slots, used, shared, usages: self.usages.used_bytes(), tables }
    }
}

/// Bytes that a [`Store`] holds.
pub(crate) struct StoreBytes {
    /// Slots, in use or free.
    pub(crate) slots: usize,
    /// Of these, slots in use.
    pub(crate) used: usize,
    /// Of these, what few groups have.
    pub(crate) shared: usize,
    /// And what ended tasks used.
    pub(crate) usages: usize,
    /// The index, paths and profiles.
    pub(crate) tables: usize,
}
