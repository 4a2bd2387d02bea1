//! Links children to their `real_parent`, and threads to their group. Each operation is O(1).

use crate::model::id::{GroupKey, Ktime};
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

impl Store {
    /// Makes `parent` the `real_parent` of `group`. Refuses a parent that is younger than the group, so that no cycle can arise,
    /// and returns false then.
    pub(crate) fn link_child(&mut self, group: Ix<Group>, parent: Ix<Task>) -> bool {
        let Some(parents) = self.tasks[parent].group else { return false };
        if !self.ensure_older(group, parents) {
            return false;
        }
        self.unlink_child(group);
        let members = &self.groups[parents];
        let (parent_key, parent_debt) = (members.key(), members.debt);
        let (knows, ignores) = (members.has(fact::IGNORES_KNOWN), members.has(fact::IGNORES));
        let next = self.tasks[parent].first_child.replace(group);
        if let Some(next) = next {
            self.groups[next].sibling_prev = Some(group);
        }
        let child = &mut self.groups[group];
        if child.parent_tgid != parent_key.tgid.0 {
            // Facts about the former parent's SIGCHLD disposition do not apply to the new one.
            child.set(fact::IGNORED_KNOWN, knows);
            child.set(fact::IGNORED, ignores);
            child.set(fact::IGNORED_LATER, true);
        }
        child.sibling_next = next;
        child.parent = Some(parent);
        child.parent_tgid = parent_key.tgid.0;
        child.parent_start = parent_key.start.unwrap_or(Ktime(0));
        child.set(fact::PARENT, true);
        child.set(fact::PARENT_START, parent_key.start.is_some());
        if child.is_owed_a_wait() {
            let debt = parent_debt.unwrap_or_else(|| self.new_debt(parents));
            self.debts[debt].debt.zombies += 1;
        }
        true
    }

    /// Removes `group` from the children of its parent; the parent's identity is kept.
    pub(crate) fn unlink_child(&mut self, group: Ix<Group>) {
        let child = &mut self.groups[group];
        let Some(parent) = child.parent.take() else { return };
        let (prev, next) = (child.sibling_prev.take(), child.sibling_next.take());
        let is_zombie = child.is_owed_a_wait();
        match prev {
            Some(prev) => self.groups[prev].sibling_next = next,
            None => self.tasks[parent].first_child = next,
        }
        if let Some(next) = next {
            self.groups[next].sibling_prev = prev;
        }
        if is_zombie && let Some(debt) = self.tasks[parent].group.and_then(|group| self.groups[group].debt) {
            let zombies = &mut self.debts[debt].debt.zombies;
            *zombies = zombies.saturating_sub(1);
        }
    }

    /// Removes `group` from the children of its parent, and stores another parent, which is gone.
    pub(crate) fn set_unlinked_parent(&mut self, group: Ix<Group>, parent: Option<GroupKey>) {
        self.unlink_child(group);
        let child = &mut self.groups[group];
        child.set(fact::PARENT, parent.is_some());
        child.set(fact::PARENT_START, parent.is_some_and(|parent| parent.start.is_some()));
        child.parent_tgid = parent.map_or(0, |parent| parent.tgid.0);
        child.parent_start = parent.and_then(|parent| parent.start).unwrap_or(Ktime(0));
    }

    /// Makes sure that a parent is older than its child; returns false if it is not.
    fn ensure_older(&mut self, child: Ix<Group>, parent: Ix<Group>) -> bool {
        // A group with an unknown start has no known parent either, so it cannot be part of a cycle.
        if !self.groups[child].has(fact::START) || child == parent {
            return false;
        }
        let Group { start, tgid, .. } = self.groups[parent];
        !self.groups[parent].has(fact::START)
            || (self.ensure_starts_after(child, start, tgid) && self.groups[parent].start == start)
    }

    /// Appends a new task to its group's threads, as the kernel does.
    pub(crate) fn link_thread(&mut self, group: Ix<Group>, task: Ix<Task>) {
        let mut threads = self.threads_of(&self.groups[group]);
        let last = threads.last.replace(task);
        match last {
            Some(last) => self.tasks[last].thread_next = Some(task),
            None => threads.first = Some(task),
        }
        self.set_threads(group, threads);
        let member = &mut self.tasks[task];
        member.thread_prev = last;
        member.thread_next = None;
        member.group = Some(group);
    }

    /// Removes a task from its group's threads.
    pub(crate) fn unlink_thread(&mut self, task: Ix<Task>) {
        let member = &mut self.tasks[task];
        let Some(group) = member.group.take() else { return };
        let (prev, next) = (member.thread_prev.take(), member.thread_next.take());
        let mut threads = self.threads_of(&self.groups[group]);
        match prev {
            Some(prev) => self.tasks[prev].thread_next = next,
            None => threads.first = next,
        }
        match next {
            Some(next) => self.tasks[next].thread_prev = prev,
            None => threads.last = prev,
        }
        if prev.is_none() || next.is_none() {
            self.set_threads(group, threads);
        }
        self.note_unpacked(group);
    }

    /// Returns the tasks of a group, oldest first.
    pub(crate) fn members(&self, group: Ix<Group>) -> impl Iterator<Item = Ix<Task>> {
        std::iter::successors(self.first_thread(group), |&ix| self.tasks[ix].thread_next)
    }

    /// Returns the groups whose `real_parent` is this task, youngest first.
    pub(crate) fn children_of(&self, task: Ix<Task>) -> impl Iterator<Item = Ix<Group>> {
        std::iter::successors(self.tasks[task].first_child, |&ix| self.groups[ix].sibling_next)
    }
}
