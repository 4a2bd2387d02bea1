//! Start times that are not known exactly. Start times from /proc are rounded down to a tick, and a leader that only another task
//! names has no start time yet. A later record has the exact start. It completes the task's identity and puts the task in order
//! among older and younger tasks.

use crate::model::id::{Ktime, TaskRef};
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

/// /proc shows a start time in ticks of `USER_HZ`, which is 100 per second on every supported architecture.
const PROC_TICK_NS: u64 = 10_000_000;

const fn tick_of(start: Ktime) -> u64 {
    start.0 / PROC_TICK_NS
}

impl Store {
    /// Sets the exact start of a task that is known from /proc. Returns false if the record is about another task.
    pub(crate) fn set_exact_start(&mut self, ix: Ix<Task>, shown: TaskRef) -> bool {
        let task = &self.tasks[ix];
        let (rough, start) = (task.key.start, shown.key.start);
        if task.group.is_none_or(|group| self.groups[group].tgid != shown.tgid.0) {
            return false;
        }
        if !task.knows(known::ROUGH_START) || start < rough || tick_of(rough) != tick_of(start) {
            return false;
        }
        if let Some(group) = task.group.filter(|&group| self.groups[group].leader == Some(ix))
            && !self.set_start(group, start)
        {
            return false;
        }
        let task = &mut self.tasks[ix];
        task.known &= !known::ROUGH_START;
        task.key.start = start;
        true
    }

    /// Sets the start of a leader that only its threads named. Returns false if that start contradicts known facts.
    pub(crate) fn set_leader_start(&mut self, leader: Ix<Task>, start: Ktime) -> bool {
        let Some(group) = self.tasks[leader].group else { return false };
        let is_older =
            |thread: Ix<Task>| self.tasks[thread].knows(known::START) && self.tasks[thread].key.start < start;
        if self.members(group).any(is_older) || !self.set_start(group, start) {
            return false;
        }
        self.tasks[leader].known |= known::START;
        true
    }

    /// Sets the start of a group. Returns false if a child of it is older.
    fn set_start(&mut self, group: Ix<Group>, start: Ktime) -> bool {
        let tgid = self.groups[group].tgid;
        if !self.each_child(group, |store: &mut Self, child| store.ensure_starts_after(child, start, tgid)) {
            return false;
        }
        self.each_child(group, |store: &mut Self, child| {
            store.groups[child].parent_start = start;
            store.groups[child].set(fact::PARENT_START, true);
            true
        });
        self.change_base(group, |members| {
            members.start = start;
            members.set(fact::START, true);
        });
        if let Some(leader) = self.groups[group].leader {
            self.tasks[leader].key.start = start;
        }
        true
    }

    /// Calls a function for every child of a group until it returns false.
    fn each_child(&mut self, group: Ix<Group>, mut act: impl FnMut(&mut Self, Ix<Group>) -> bool) -> bool {
        let mut thread = self.first_thread(group);
        while let Some(ix) = thread {
            let mut child = self.tasks[ix].first_child;
            while let Some(group) = child {
                if !act(self, group) {
                    return false;
                }
                child = self.groups[group].sibling_next;
            }
            thread = self.tasks[ix].thread_next;
        }
        true
    }

    /// Makes sure that a group is younger than another group with the given start; returns false if it is not. At boot many tasks
    /// share one start; then the group with the smaller tgid is older. Corrects a start that is known by its tick only, if
    /// possible.
    pub(crate) fn ensure_starts_after(&mut self, group: Ix<Group>, start: Ktime, tgid: u32) -> bool {
        let members = &self.groups[group];
        if (start, tgid) < (members.start, members.tgid) {
            return true;
        }
        let Some(next) = start.0.checked_add(1).map(Ktime) else { return false };
        let is_rough = members.leader.is_some_and(|leader| self.tasks[leader].knows(known::ROUGH_START));
        is_rough && tick_of(members.start) == tick_of(next) && self.set_start(group, next)
    }
}
