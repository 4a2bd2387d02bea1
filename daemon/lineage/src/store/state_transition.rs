//! A task's way through its states: always forward, and counted.

use super::Lineage;
use super::arena::Ix;
use super::group::Group;
use super::id::Ktime;
use super::task::{Task, TaskState};

/// How many tasks are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    states: [usize; TaskState::COUNT],
}

impl Census {
    /// Tasks in a state.
    #[must_use]
    pub const fn of(&self, state: TaskState) -> usize {
        self.states[state as usize]
    }

    /// Tasks that the kernel still has.
    #[must_use]
    pub const fn present(&self) -> usize {
        self.of(TaskState::Implied)
            + self.of(TaskState::Running)
            + self.of(TaskState::Exiting)
            + self.of(TaskState::Zombie)
    }

    pub(super) const fn add(&mut self, state: TaskState) {
        self.states[state as usize] += 1;
    }

    pub(super) const fn remove(&mut self, state: TaskState) {
        self.states[state as usize] -= 1;
    }
}

impl Lineage {
    /// Moves a task on, out of the queue it stood in. Going back is asked for by nobody.
    pub(super) fn enter(&mut self, ix: Ix<Task>, state: TaskState, at: Ktime) {
        self.queues.take(&mut self.tasks, ix);
        let task = &mut self.tasks[ix];
        let before = task.state;
        task.state = state;
        task.since = at;
        let group = task.group;
        self.census.remove(before);
        self.census.add(state);
        let Some(group) = group else { return };
        let members = &mut self.groups[group];
        if before < TaskState::Zombie && state >= TaskState::Zombie {
            members.live -= 1;
        }
        if before < TaskState::Dead && state >= TaskState::Dead {
            members.present -= 1;
        }
    }

    /// A task whose own record shows that it is there.
    pub(super) fn seen_running(&mut self, ix: Ix<Task>, at: Ktime) {
        if self.tasks[ix].state == TaskState::Implied {
            self.enter(ix, TaskState::Running, at);
        }
    }

    /// The group a task's parent belongs to.
    pub(super) fn parents_of(&self, group: Ix<Group>) -> Option<Ix<Group>> {
        self.groups[group].parent.and_then(|parent| self.tasks[parent].group)
    }
}
