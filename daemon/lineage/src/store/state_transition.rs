//! Moves tasks through their states, always forward, and counts the tasks in each state.

use crate::model::cgroup_counts::CgroupCounts;
use crate::model::id::Ktime;
use crate::model::task::{StateCounts, TaskState};
use crate::store::Store;
use crate::store::slot::group::Group;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

impl Store {
    /// Moves a task to a later state and removes it from its queue. No caller asks for an earlier state.
    pub(crate) fn set_state(&mut self, ix: Ix<Task>, state: TaskState, at: Ktime) {
        self.dequeue(ix);
        let task = &mut self.tasks[ix];
        let before = task.state;
        task.state = state;
        task.since = at;
        let group = task.group;
        self.state_counts.remove(before);
        self.state_counts.add(state);
        let Some(group) = group else { return };
        let died = before < TaskState::Zombie && state >= TaskState::Zombie;
        let left = before < TaskState::Dead && state >= TaskState::Dead;
        if !died && !left {
            return;
        }
        let bits = &mut self.groups[group].threads;
        if bits.are_in_extra() {
            let mut threads = self.threads_of(&self.groups[group]);
            threads.live -= u32::from(died);
            threads.present -= u32::from(left);
            self.set_threads(group, threads);
        } else {
            *bits = bits.without_leader(died, left);
        }
        if died {
            let is_last = !self.groups[group].threads.any_live();
            let counts = self.cgroup_counts(group);
            counts.threads -= 1;
            counts.processes -= u32::from(is_last);
        }
    }

    /// Marks an implied task as running, because a record of its own shows it.
    pub(crate) fn set_seen_running(&mut self, ix: Ix<Task>, at: Ktime) {
        if self.tasks[ix].state == TaskState::Implied {
            self.set_state(ix, TaskState::Running, at);
        }
    }

    /// Returns the group of a group's parent.
    pub(crate) fn parents_of(&self, group: Ix<Group>) -> Option<Ix<Group>> {
        self.groups[group].parent.and_then(|parent| self.tasks[parent].group)
    }

    /// Undoes the death of a leader, because another thread has taken its place without a record.
    pub(crate) fn return_to_running(&mut self, ix: Ix<Task>, at: Ktime) {
        self.dequeue(ix);
        let task = &mut self.tasks[ix];
        let before = std::mem::replace(&mut task.state, TaskState::Running);
        task.since = at;
        let group = task.group;
        self.state_counts.remove(before);
        self.state_counts.add(TaskState::Running);
        if let Some(group) = group {
            let mut threads = self.threads_of(&self.groups[group]);
            threads.live += u32::from(before >= TaskState::Zombie);
            threads.present += u32::from(before >= TaskState::Dead);
            self.set_threads(group, threads);
            if before >= TaskState::Zombie {
                let counts = self.cgroup_counts(group);
                counts.threads += 1;
                counts.processes += u32::from(threads.live == 1);
            }
        }
    }

    /// Makes the idle task a running one, without counting it.
    pub(crate) fn init_idle_task(&mut self, ix: Ix<Task>) {
        self.tasks[ix].state = TaskState::Running;
        self.state_counts = StateCounts::default();
        if let Some(group) = self.tasks[ix].group {
            *self.cgroup_counts(group) = CgroupCounts::default();
        }
    }
}
