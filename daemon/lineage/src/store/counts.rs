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
    pub(crate) fn bytes(&self) -> usize {
        self.tasks.bytes()
            + self.groups.bytes()
            + self.rares.bytes()
            + self.debts.bytes()
            + self.sums.bytes()
            + self.index.bytes()
            + self.paths.bytes()
    }
}
