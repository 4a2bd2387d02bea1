//! A signal that was sent to a group, with who sent it.

use crate::model::flags::{PF_EXITING, PF_KTHREAD};
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::record::{Comm, Disposition, SignalInfo};

/// A process above the sender when it sent the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Which.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
}

/// Who sent a signal: the current task, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The task.
    pub task: Option<TaskRef>,
    /// Its comm.
    pub name: Option<Comm>,
    /// Its real uid.
    pub uid: Option<u32>,
    /// Its PF_ bits.
    pub flags: u32,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// The processes above it, its parent first.
    pub ancestors: Box<[Ancestor]>,
    /// The init of a pid namespace below the initial one.
    pub is_namespace_init: bool,
}

impl Sender {
    /// Whether it was in `do_exit()`.
    #[must_use]
    pub const fn is_exiting(&self) -> bool {
        self.flags & PF_EXITING != 0
    }

    /// Whether it is a kernel thread.
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }
}

/// A signal sent to a group or to one of its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Ktime,
    /// Its number.
    pub signal: i32,
    /// `si_code`.
    pub code: Option<i32>,
    /// What `si_code` is from.
    pub info: SignalInfo,
    /// To any task of the group, not to [`Sent::target`] alone.
    pub to_group: bool,
    /// The task it was for.
    pub target: TaskRef,
    /// `TRACE_SIGNAL_` number.
    pub result: i32,
    /// `si_addr` of a fault.
    pub address: u64,
    /// `si_syscall` of a SIGSYS.
    pub syscall: i32,
    /// What the target does with it, where that was read.
    pub disposition: Option<Disposition>,
    /// Who sent it.
    pub sender: Sender,
    /// How often it came from this sender, and when last.
    pub times: u32,
    /// When it last came.
    pub last: Ktime,
}

impl Sent {
    /// Whether it took effect: delivered, or delivered without its `siginfo`.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self.result, 0 | 4)
    }

    /// Whether a task of the target's group sent it.
    #[must_use]
    pub fn is_from_itself(&self) -> bool {
        self.sender.task.is_some_and(|task| task.tgid == self.target.tgid)
    }

    /// Whether the sender was in `do_exit()`.
    #[must_use]
    pub const fn is_sender_exiting(&self) -> bool {
        self.sender.is_exiting()
    }

    /// Whether the sender is a kernel thread.
    #[must_use]
    pub const fn is_from_kernel_thread(&self) -> bool {
        self.sender.is_kernel_thread()
    }

    /// Whether both are from one process.
    #[must_use]
    pub fn is_from_same_process(&self, other: &Self) -> bool {
        match (self.sender.task, other.sender.task) {
            (Some(one), Some(other)) => one.tgid == other.tgid,
            _ => false,
        }
    }
}
