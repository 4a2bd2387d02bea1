//! What a task is, and where it is in its life.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "an enum as the index of an array of that length")
)]

use crate::model::flags::{PF_IO_WORKER, PF_KTHREAD, PF_USER_WORKER};

/// Where a task is in its life. It only ever moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Another task's record named it; nothing of its own was seen.
    #[default]
    Implied,
    /// Between `copy_process()` and `do_exit()`.
    Running,
    /// In `do_exit()`.
    Exiting,
    /// `EXIT_ZOMBIE`: waits for its parent, or for the rest of its group, or its tracer.
    Zombie,
    /// `EXIT_DEAD`: the kernel has let it go, or is about to; no wait can see it any more.
    Dead,
    /// Its release was seen. Kept for a while so that late records of it are known as such.
    Released,
}

impl TaskState {
    /// Number of states.
    pub(crate) const COUNT: usize = 6;

    /// Stable name.
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

/// What sort of task it is.
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

    /// Tells the kind by the PF_ bits.
    #[must_use]
    pub const fn of(flags: u32, is_leader: bool) -> Self {
        if flags & PF_KTHREAD != 0 {
            Self::KernelThread
        } else if is_leader {
            // Both worker bits mean other things on old kernels, where only leaders could have them.
            Self::Process
        } else if flags & PF_IO_WORKER != 0 {
            Self::IoWorker
        } else if flags & PF_USER_WORKER != 0 {
            Self::UserWorker
        } else {
            Self::Thread
        }
    }

    /// Stable name.
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
