//! A new reaper that becomes known late, because the tid of the exited task was used again before the record of its exit was read.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::id::TaskRef;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Corrects the parent of children that were reparented by the kernel's rule alone, when a record shows the new reaper of a
    /// process that lost them. The rule cannot know a subreaper that no record has shown before. This visits every task, which is
    /// rare: a tid has to be used again within the time that a record waits in the ring.
    pub(crate) fn apply_late_reaper(&mut self, gone: TaskRef, new_reaper: TaskRef, t: &mut Transition<'_>) {
        let children: Vec<_> =
            self.store.newest_tasks().filter(|&ix| self.was_reparented_by_rule(ix, gone)).collect();
        for leader in children {
            // Correcting an earlier leader in the list can have ended this one.
            let group = self.store[leader].group().filter(|_| self.was_reparented_by_rule(leader, gone));
            // Naming the new reaper can end the group: then there is no parent to correct.
            let _ = group.and_then(|group| self.learn_parent(group, Some(new_reaper), t));
        }
    }

    /// Whether a task leads a group that records last showed as a child of `old_parent`'s process, and whose present parent follows
    /// from the kernel's rule alone.
    fn was_reparented_by_rule(&self, leader: Ix<Task>, old_parent: TaskRef) -> bool {
        let is_child = |group: Ix<Group>| {
            let members = &self.store[group];
            members.has(fact::PARENT_INFERRED)
                && !members.has(fact::PARENT_PENDING)
                && members.parent_tgid() != old_parent.tgid.0
                && self.was_shown_in(group, old_parent)
        };
        self.store.is_leader(leader) && self.store[leader].group().is_some_and(is_child)
    }
}
