//! Settles conflicts between a snapshot and a conclusion: the snapshot shows a child with a parent whose group seemed to have no
//! live thread.
//!
//! A thread that inherited the child may be shown later in the same snapshot, so conflicts are settled at its end.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::event_context::EventContext;
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::Snapshot;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The last facts that a snapshot showed of a child that was concluded to have left its parent's process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotConflict {
    parent: TaskRef,
    exit_signal: Option<i32>,
    at: Ktime,
}

impl Lineage {
    /// Notes a conflict if a snapshot shows a child with a parent other than that in the tree.
    pub(crate) fn compare_with_conclusions(&mut self, seen: &Snapshot, is_with_shown: bool, at: Ktime) {
        let Some(parent) = seen.parent.filter(|_| self.is_in_snapshot()) else { return };
        let shown = SnapshotConflict { parent, exit_signal: seen.exit_signal, at };
        if !is_with_shown {
            self.reconcile.snapshot_conflicts.insert(seen.task.key, shown);
        } else if let Some(conflict) = self.reconcile.snapshot_conflicts.get_mut(&seen.task.key) {
            *conflict = shown;
        }
    }

    /// Notes a child that is concluded to leave its parent's process while a snapshot is read: the snapshot may still show a
    /// thread that inherited it.
    pub(crate) fn note_snapshot_conflict(&mut self, child: Ix<Group>, parent: Option<TaskRef>, at: Ktime) {
        let members = &self.store[child];
        let exit_signal = members.has(fact::EXIT_SIGNAL).then_some(members.exit_signal());
        if let (true, Some(parent), Some(leader)) = (self.is_in_snapshot(), parent, members.leader()) {
            let child = self.store[leader].key();
            let conflict = self.reconcile.snapshot_conflicts.entry(child).or_insert(SnapshotConflict {
                parent,
                exit_signal,
                at,
            });
            (conflict.parent, conflict.at) = (parent, at);
        }
    }

    /// Settles the conflicts once all threads are known: a child whose parent's process lives has never left it.
    pub(crate) fn settle_snapshot_conflicts(&mut self, t: &mut Transition<'_>) {
        for (child, seen) in std::mem::take(&mut self.reconcile.snapshot_conflicts) {
            let Some(group) = self.store.find(child).and_then(|ix| self.store[ix].group()) else { continue };
            let t = &mut t.with(EventContext { at: seen.at, ..t.ctx });
            if self.learn_parent(group, Some(seen.parent), t) == Some(true)
                && self.store[group].exec_at <= seen.at
            {
                self.learn_exit_signal(group, seen.exit_signal);
            }
        }
    }
}
