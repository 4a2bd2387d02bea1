//! How many tasks are in each state.

use crate::model::task::TaskState;

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

    pub(crate) const fn add(&mut self, state: TaskState) {
        self.states[state as usize] += 1;
    }

    pub(crate) const fn remove(&mut self, state: TaskState) {
        self.states[state as usize] -= 1;
    }
}
