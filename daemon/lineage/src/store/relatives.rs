//! Finds parents, inits of pid namespaces and live threads.

use crate::model::id::{TaskRef, Tgid};
use crate::model::record::Comm;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Store {
    /// Returns the init of a pid namespace.
    pub(crate) fn namespace_init(&self, namespace: u32) -> Option<Ix<Task>> {
        self.namespaces.get(&namespace).and_then(|&group| self.groups[group].leader)
    }

    pub(crate) fn is_namespace_init(&self, group: Ix<Group>) -> bool {
        let members = &self.groups[group];
        let is_first = members.leader.is_some_and(|leader| self.tasks[leader].vtid == 1);
        members.has(fact::NAMESPACE) && self.profile_of(members).namespace_level > 0 && is_first
    }

    /// Returns a reference to a group's parent, as records have it.
    pub(crate) fn parent_ref(&self, group: Ix<Group>) -> Option<TaskRef> {
        self.reference(self.groups[group].parent?)
    }

    /// Returns a reference to a task, as records have it.
    pub(crate) fn reference(&self, ix: Ix<Task>) -> Option<TaskRef> {
        let group = &self.groups[self.tasks[ix].group?];
        Some(TaskRef { key: self.tasks[ix].key, tgid: Tgid(group.tgid) })
    }

    /// Returns the comm of the leader of a task's group.
    pub(crate) fn process_name(&self, ix: Ix<Task>) -> Option<Comm> {
        let leader = self.groups[self.tasks[ix].group?].leader?;
        let leader = &self.tasks[leader];
        leader.knows(known::COMM).then_some(leader.comm)
    }

    /// Returns the first thread whose state is before `state`, as the kernel's `find_alive_thread()` does for `PF_EXITING`.
    pub(crate) fn find_alive_thread(
        &self,
        group: Ix<Group>,
        dying: Ix<Task>,
        state: TaskState,
    ) -> Option<Ix<Task>> {
        self.members(group).find(|&ix| ix != dying && self.tasks[ix].state < state)
    }

    /// Notes that a group is the init of its pid namespace.
    pub(crate) fn set_namespace_init(&mut self, group: Ix<Group>) {
        self.namespaces.insert(self.profile(group).namespace, group);
    }

    /// Notes that a group adopted orphans without being the init of a pid namespace.
    pub(crate) fn set_subreaper(&mut self, group: Ix<Group>) {
        if !self.groups[group].has(fact::SUBREAPER) {
            self.groups[group].set(fact::SUBREAPER, true);
            self.subreapers += 1;
        }
    }

    /// Whether any group adopted orphans as a subreaper.
    pub(crate) const fn has_subreapers(&self) -> bool {
        self.subreapers > 0
    }
}
