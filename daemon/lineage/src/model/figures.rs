//! What a task is doing at one time, read from the scheduler's fields on request. It is not part of the tree.

use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{Comm, TaskUsage};

/// One task as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskFigures {
    /// Which.
    pub task: TaskRef,
    /// When it was read.
    pub at: Ktime,
    /// Its comm.
    pub name: Option<Comm>,
    /// What it was doing.
    pub doing: Doing,
    /// PF_ bits.
    pub flags: u32,
    /// `SCHED_*` of sched(7).
    pub policy: Option<u32>,
    /// `task_struct.prio`, with priority inheritance: 0 to 98 is real-time, 100 to 139 is not. /proc/PID/stat shows this number
    /// minus 100.
    pub prio: Option<i32>,
    /// The nice value.
    pub nice: Option<i32>,
    /// `rt_priority`: 1 to 99 for `SCHED_FIFO` and `SCHED_RR`.
    pub rt_priority: Option<u32>,
    /// The CPU that it runs on or ran on last.
    pub cpu: Option<u32>,
    /// What it has used so far.
    pub usage: Option<TaskUsage>,
}

/// What a task is doing, finer than the one letter of ps(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    /// On a CPU.
    Running,
    /// On a run queue, ready to run.
    Ready,
    /// Running or ready: the source does not say which.
    Runnable,
    /// Interruptible: a signal wakes it.
    Sleeping,
    /// Uninterruptible: only what it waits for wakes it.
    Uninterruptible,
    /// Uninterruptible, but a fatal signal ends it (`TASK_KILLABLE`).
    Killable,
    /// Stopped by a signal such as SIGSTOP.
    Stopped,
    /// Stopped by its tracer.
    Traced,
    /// A parked kernel thread (`kthread_park()`).
    Parked,
    /// A kernel thread without work.
    Idle,
    /// Frozen by the cgroup freezer or for a suspend.
    Frozen,
    /// Dead and not reaped.
    Zombie,
    /// Dead and about to be released.
    Dead,
}

impl Doing {
    /// Every value.
    pub const ALL: [Self; 13] = [
        Self::Running,
        Self::Ready,
        Self::Runnable,
        Self::Sleeping,
        Self::Uninterruptible,
        Self::Killable,
        Self::Stopped,
        Self::Traced,
        Self::Parked,
        Self::Idle,
        Self::Frozen,
        Self::Zombie,
        Self::Dead,
    ];

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Runnable => "runnable",
            Self::Sleeping => "sleeping",
            Self::Uninterruptible => "uninterruptible",
            Self::Killable => "killable",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Parked => "parked",
            Self::Idle => "idle",
            Self::Frozen => "frozen",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
        }
    }

    /// Returns the letter that /proc/PID/stat shows for it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Running | Self::Ready | Self::Runnable => 'R',
            Self::Sleeping => 'S',
            Self::Uninterruptible | Self::Killable | Self::Frozen => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Parked => 'P',
            Self::Idle => 'I',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
        }
    }

    /// Whether it sleeps uninterruptibly, killable or not.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::Uninterruptible | Self::Killable)
    }
}

/// Returns the name of a scheduling policy, as sched(7) and chrt(1) write it.
#[must_use]
pub const fn policy_name(policy: u32) -> &'static str {
    match policy {
        0 => "SCHED_OTHER",
        1 => "SCHED_FIFO",
        2 => "SCHED_RR",
        3 => "SCHED_BATCH",
        5 => "SCHED_IDLE",
        6 => "SCHED_DEADLINE",
        7 => "SCHED_EXT",
        _ => "unknown",
    }
}
