//! Numbers of stored items.

use std::sync::Arc;

use crate::model::cgroup_counts::CgroupCounts;
use crate::model::path_name::PathName;
use crate::model::task::StateCounts;
use crate::store::Store;

impl Store {
    /// Returns the number of tasks, tombstones included.
    pub(crate) const fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the number of groups, that of the idle task included.
    pub(crate) const fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Returns the number of groups whose leader is dead while other tasks of the group live.
    pub(crate) const fn dead_leader_count(&self) -> usize {
        self.dead_leaders
    }

    /// Returns the number of tasks in each state.
    pub(crate) const fn state_counts(&self) -> &StateCounts {
        &self.state_counts
    }

    /// Returns the tasks of each cgroup; `None` is an unknown one. A cgroup can come several times.
    pub(crate) fn cgroup_counts_by_id(&self) -> impl Iterator<Item = (Option<u64>, CgroupCounts)> {
        let id = |cgroup_id: u64| (cgroup_id != 0).then_some(cgroup_id);
        self.profiles.counts().map(move |(profile, counts)| (id(profile.cgroup_id), *counts))
    }

    /// Returns the number of pid namespaces whose init is known, without the initial one.
    pub(crate) fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    /// Returns the number of stored paths.
    pub(crate) fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// Returns the shared copy of a path.
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
    /// Part of `slots`: slots in use.
    pub(crate) used: usize,
    /// Part of `slots`: side tables of facts that few groups have.
    pub(crate) shared: usize,
    /// Part of `slots`: what ended tasks used.
    pub(crate) usages: usize,
    /// The index, paths and profiles.
    pub(crate) tables: usize,
}
