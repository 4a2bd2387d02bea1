//! A signal that was sent to a group, and its sender.

use crate::model::flags::{PF_EXITING, PF_KTHREAD, SIGHUP};
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::record::{Comm, Disposition, SignalInfo, SignalSent};

/// An ancestor of the sender at the time of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The process.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
}

/// The sender of a signal: the task that was current when the signal was generated.
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
    /// Its ancestors, its parent first.
    pub ancestors: Box<[Ancestor]>,
    /// Whether it is the init of a pid namespace other than the initial one.
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
    /// The kind of `siginfo` that `si_code` comes from.
    pub info: SignalInfo,
    /// Whether it was sent to the whole group and not to [`Sent::target`] alone.
    pub to_group: bool,
    /// The target task.
    pub target: TaskRef,
    /// `TRACE_SIGNAL_` number (include/trace/events/signal.h).
    pub result: i32,
    /// `si_addr` of a fault.
    pub address: u64,
    /// `si_syscall` of a SIGSYS.
    pub syscall: i32,
    /// The target's disposition of the signal, if it was read.
    pub disposition: Option<Disposition>,
    /// The sender.
    pub sender: Sender,
    /// How often this sender sent it.
    pub times: u32,
    /// When this sender last sent it.
    pub last: Ktime,
}

impl Sent {
    /// Creates the first signal of this sender.
    #[must_use]
    pub(crate) const fn of(at: Ktime, sent: &SignalSent, sender: Sender) -> Self {
        Self {
            at,
            signal: sent.signal,
            code: sent.code,
            info: sent.info,
            to_group: sent.to_group,
            target: sent.target,
            result: sent.result,
            address: sent.address,
            syscall: sent.syscall,
            disposition: sent.disposition,
            sender,
            times: 1,
            last: at,
        }
    }

    /// Whether it took effect: delivered, or delivered without its `siginfo`.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self.result, 0 | 4)
    }

    /// Whether it is a SIGHUP that the kernel sent on its own behalf.
    #[must_use]
    pub(crate) fn is_hangup(&self) -> bool {
        self.signal == SIGHUP && self.info == SignalInfo::Kernel
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
