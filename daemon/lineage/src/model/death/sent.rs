//! A signal that was sent to a group, and its sender.

use crate::model::flags::{
    PF_EXITING, PF_KTHREAD, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGQUIT, SIGSEGV, SIGSYS, SIGTERM,
    SIGTRAP, TRACE_SIGNAL_IGNORED,
};
use crate::model::id::{GroupKey, Ktime, TaskRef, Tgid};
use crate::model::record::{Comm, CpuLimits, Disposition, SignalInfo, SignalSent, Terminal};

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
    /// The name of its process, if that is known, else its comm.
    pub name: Option<Comm>,
    /// Its real uid.
    pub uid: Option<u32>,
    /// The uid that was set at login.
    pub login_uid: Option<u32>,
    /// Its controlling terminal.
    pub terminal: Option<Terminal>,
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

/// A signal that the sender of the same signal had received shortly before: it may have passed it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// When.
    pub at: Ktime,
    /// The task that sent it.
    pub from: Option<TaskRef>,
    /// The name of its process.
    pub name: Option<Comm>,
    /// Whether the kernel sent it, as for a key of a terminal.
    pub is_by_kernel: bool,
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
    /// As in [`SignalSent::tracer`].
    pub tracer: Option<Option<Tgid>>,
    /// As in [`SignalSent::cpu_limits`].
    pub cpu_limits: Option<CpuLimits>,
    /// As in [`SignalSent::in_execve`].
    pub in_execve: Option<bool>,
    /// Whether it was sent before the record of the group's creation.
    pub is_before_creation: bool,
    /// The same signal, if the sender had received it shortly before.
    pub received: Option<Box<Received>>,
    /// The sender.
    pub sender: Sender,
    /// How often this sender sent it.
    pub times: u32,
    /// When this sender last sent it.
    pub last: Ktime,
}

impl Sent {
    /// Whether this record repeats the signal: the same sender, by the same means, with the same result.
    pub(crate) fn is_repeated_by(&self, sent: &SignalSent) -> bool {
        self.signal == sent.signal
            && self.sender.task == sent.sender
            && self.result == sent.result
            && (self.info, self.code, self.to_group) == (sent.info, sent.code, sent.to_group)
            && self.is_sender_exiting() == sent.sender_flags.is_some_and(|flags| flags & PF_EXITING != 0)
    }

    /// Notes a repetition.
    pub(crate) fn repeat(&mut self, at: Ktime, sent: &SignalSent, received: Option<Box<Received>>) {
        self.received = received;
        self.times = self.times.saturating_add(1);
        self.last = at;
        self.address = sent.address;
        self.syscall = sent.syscall;
        self.tracer = sent.tracer;
        self.cpu_limits = sent.cpu_limits;
        self.in_execve = sent.in_execve;
    }

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
            tracer: sent.tracer,
            cpu_limits: sent.cpu_limits,
            in_execve: sent.in_execve,
            is_before_creation: false,
            received: None,
            sender,
            times: 1,
            last: at,
        }
    }

    /// Whether it asks a process to end, which may handle it.
    #[must_use]
    pub(crate) const fn is_request(&self) -> bool {
        matches!(self.signal, SIGTERM | SIGINT | SIGQUIT | SIGHUP)
    }

    /// Whether it took effect: delivered, or delivered without its `siginfo`.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self.result, 0 | 4)
    }

    /// Whether the kernel discarded it, because the target ignored it.
    #[must_use]
    pub const fn is_ignored(&self) -> bool {
        self.result == TRACE_SIGNAL_IGNORED
    }

    /// Whether `force_sig()` or a similar function sent it for what the task did: `si_code` is positive.
    #[must_use]
    pub(crate) fn is_fault(&self) -> bool {
        self.info == SignalInfo::Real && self.code.is_some_and(|code| code > 0)
    }

    /// Whether a file descriptor with `F_SETSIG` sent it: `POLL_IN` to `POLL_HUP` with a signal that has no such codes of its own.
    #[must_use]
    pub(crate) fn is_of_descriptor(&self) -> bool {
        self.info == SignalInfo::Real
            && self.code.is_some_and(|code| (1..=6).contains(&code))
            && !self.has_address()
    }

    /// Whether the signal is one of those whose `siginfo` has an address or a system call.
    #[must_use]
    pub const fn has_address(&self) -> bool {
        matches!(self.signal, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP | SIGSYS)
    }

    /// Whether the kernel sent it, for itself or on behalf of a task.
    #[must_use]
    pub(crate) fn is_by_kernel(&self) -> bool {
        // From 7.3 on, kill(2) passes no `siginfo` either, but always to a group.
        self.info == SignalInfo::Kernel || self.info == SignalInfo::None && !self.to_group
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

    /// Whether the tracer of the target sent it; `None` if it is not known who traced the target.
    #[must_use]
    pub(crate) fn is_from_tracer(&self) -> Option<bool> {
        let tracer = self.tracer?;
        Some(tracer.is_some() && tracer == self.sender.task.map(|task| task.tgid))
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

    /// Whether both senders have the same name and the same parent, as the runtimes that `podman stop` starts. Children of init do
    /// not count, because init adopts orphans of all kinds.
    #[must_use]
    pub fn is_from_sibling(&self, other: &Self) -> bool {
        let parent = |sent: &Self| sent.sender.ancestors.first().map(|parent| parent.key);
        self.sender.name.is_some()
            && self.sender.name == other.sender.name
            && parent(self).is_some_and(|key| key.tgid.0 != 1 && parent(other) == Some(key))
    }
}
