//! Kinds and states of tasks.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "an enum as the index of an array of that length")
)]

use crate::model::flags::{PF_IO_WORKER, PF_KTHREAD, PF_USER_WORKER};

/// The state of a task. It only moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Only records of other tasks name it.
    #[default]
    Implied,
    /// Between `copy_process()` and `do_exit()`.
    Running,
    /// In `do_exit()`.
    Exiting,
    /// `EXIT_ZOMBIE`: not reaped by its parent or its tracer, or other threads of its group live.
    Zombie,
    /// `EXIT_DEAD`: reaped or autoreaped and about to be released; no wait(2) returns it.
    Dead,
    /// Released. It is kept for a while as a tombstone, so that late records of it are recognised.
    Released,
}

impl TaskState {
    /// Number of states.
    pub(crate) const COUNT: usize = 6;

    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Implied => "implied",
            Self::Running => "running",
            Self::Exiting => "exiting",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Released => "released",
        }
    }
}

/// How many tasks are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    states: [usize; TaskState::COUNT],
}

impl StateCounts {
    /// Returns the number of tasks in a state.
    #[must_use]
    pub const fn of(&self, state: TaskState) -> usize {
        self.states[state as usize]
    }

    /// Returns the number of tasks that the kernel still has.
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

/// The kind of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Leader of a user thread group.
    Process,
    /// Another thread of a user thread group.
    Thread,
    /// `PF_KTHREAD`.
    KernelThread,
    /// `PF_IO_WORKER`: an `io_uring` worker, a thread of the process that owns the ring.
    IoWorker,
    /// `PF_USER_WORKER`: another kernel-made thread of a process, such as vhost's.
    UserWorker,
}

impl TaskKind {
    /// Number of kinds.
    pub(crate) const COUNT: usize = 5;

    /// Returns the kind by the PF_ bits.
    #[must_use]
    pub const fn of(flags: u32, is_leader: bool) -> Self {
        if flags & PF_KTHREAD != 0 {
            Self::KernelThread
        } else if is_leader {
            // On old kernels both worker bits have other meanings, and only leaders could have them.
            Self::Process
        } else if flags & PF_IO_WORKER != 0 {
            Self::IoWorker
        } else if flags & PF_USER_WORKER != 0 {
            Self::UserWorker
        } else {
            Self::Thread
        }
    }

    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
            Self::KernelThread => "kernel_thread",
            Self::IoWorker => "io_worker",
            Self::UserWorker => "user_worker",
        }
    }
}
