//! Who is whose: parents, inits of pid namespaces, living threads.

use crate::model::id::{TaskRef, Tgid};
use crate::model::record::Comm;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Store {
    /// The init of a pid namespace.
    pub(crate) fn namespace_init(&self, namespace: u32) -> Option<Ix<Task>> {
        self.namespaces.get(&namespace).and_then(|&group| self.groups[group].leader)
    }

    pub(crate) fn is_namespace_init(&self, group: Ix<Group>) -> bool {
        let members = &self.groups[group];
        let is_first = members.leader.is_some_and(|leader| self.tasks[leader].vtid == 1);
        members.has(fact::NAMESPACE) && self.profile_of(members).namespace_level > 0 && is_first
    }

    /// A group's parent as records name tasks.
    pub(crate) fn parent_ref(&self, group: Ix<Group>) -> Option<TaskRef> {
        self.reference(self.groups[group].parent?)
    }

    /// A task as records name it.
    pub(crate) fn reference(&self, ix: Ix<Task>) -> Option<TaskRef> {
        let group = &self.groups[self.tasks[ix].group?];
        Some(TaskRef { key: self.tasks[ix].key, tgid: Tgid(group.tgid) })
    }

    /// Comm of the leader of a task's group.
    pub(crate) fn process_name(&self, ix: Ix<Task>) -> Option<Comm> {
        let leader = self.groups[self.tasks[ix].group?].leader?;
        let leader = &self.tasks[leader];
        leader.knows(known::COMM).then_some(leader.comm)
    }

    /// `find_alive_thread()`: the first thread that is not exiting, or not in another `state` or beyond.
    pub(crate) fn find_alive_thread(
        &self,
        group: Ix<Group>,
        dying: Ix<Task>,
        state: TaskState,
    ) -> Option<Ix<Task>> {
        self.members(group).find(|&ix| ix != dying && self.tasks[ix].state < state)
    }

    /// Records that a group is the init of the pid namespace it is in.
    pub(crate) fn set_namespace_init(&mut self, group: Ix<Group>) {
        self.namespaces.insert(self.profile(group).namespace, group);
    }

    /// Records that a group was seen to adopt orphans though it is no pid namespace's init.
    pub(crate) fn set_subreaper(&mut self, group: Ix<Group>) {
        if !self.groups[group].has(fact::SUBREAPER) {
            self.groups[group].set(fact::SUBREAPER, true);
            self.subreapers += 1;
        }
    }

    /// Whether any group was seen to adopt orphans.
    pub(crate) const fn has_subreapers(&self) -> bool {
        self.subreapers > 0
    }
}
