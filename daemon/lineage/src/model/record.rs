//! What the kernel side reports, as the lineage takes it: one enum, unknown fields `None`.
//!
//! The shell's decoder makes these from the wire (`probe-common`), the snapshot reader from the task iterator or /proc.

use std::sync::Arc;

use crate::model::id::{Ktime, TaskRef};
use crate::model::scope::CgroupChanged;

/// A task's comm: up to 15 bytes, any byte but NUL, then NULs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// A `task_struct.comm` as it is in memory. Older kernels, such as 5.10, set a shorter name by `strlcpy()` and leave what the longer one
    /// before it had behind the NUL.
    #[must_use]
    pub fn of_kernel(mut comm: [u8; 16]) -> Self {
        let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
        comm.iter_mut().skip(end).for_each(|byte| *byte = 0);
        Self(comm)
    }

    /// The bytes before the first NUL.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }
}

/// Something that happened to a task, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, by the kernel's clock, at the hook.
    pub at: Ktime,
    /// CPU it was recorded on.
    pub cpu: u16,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `copy_process()` made a task.
    New(New),
    /// `copy_process()` failed.
    CloneFailed(CloneFailed),
    /// A task runs another program.
    Exec(Box<Exec>),
    /// The argument vector of the exec just before, where asked for.
    ExecArgs(Box<ExecArgs>),
    /// A comm changed.
    Renamed(Renamed),
    /// `do_exit()` began.
    Exiting(Exiting),
    /// `exit_notify()` has decided, or a later point with the same facts.
    Exited(Box<Exited>),
    /// A child was handed on.
    Reparented(Reparented),
    /// A task was released.
    Released(Box<Released>),
    /// A task as a snapshot saw it; `at` is when it was read.
    Snapshot(Box<Snapshot>),
    /// A task is in another cgroup.
    CgroupAttached(CgroupAttached),
    /// A signal was generated.
    Signal(Box<SignalSent>),
    /// The out-of-memory killer has chosen a process.
    OomVictim(Box<OomVictim>),
    /// A cgroup was made, removed, populated or emptied.
    CgroupChanged(Box<CgroupChanged>),
}

/// A task was moved to another cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupAttached {
    /// The task that was moved: the leader, where a whole thread group was.
    pub task: TaskRef,
    /// Its cgroup's id now.
    pub cgroup_id: Option<u64>,
}

/// Where a task lives and as whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Cgroup id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// The task in its own pid namespace.
    pub namespace: Option<Namespaced>,
    /// Real and effective uid.
    pub credentials: Option<(u32, u32)>,
}

/// A task's ids in its own (innermost) pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaced {
    /// Its tid there.
    pub vtid: u32,
    /// Its thread group's id there, where it could be read.
    pub vtgid: Option<u32>,
    /// The namespace's inode number, as in `/proc/PID/ns/pid`.
    pub inode: u32,
    /// The namespace's depth; 0 is the initial one.
    pub level: u32,
}

/// The parts from which wait(2) makes a group's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitParts {
    /// `task_struct.exit_code`, or `code` of `do_exit()`: this one task's status.
    pub exit_code: Option<i32>,
    /// `signal->group_exit_code` and `signal->flags`. `None` once the task is detached from its signal structure.
    pub group: Option<GroupExit>,
}

/// The group's part of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupExit {
    /// `signal->group_exit_code`.
    pub code: i32,
    /// Whether `SIGNAL_GROUP_EXIT` is set in `signal->flags`: then wait(2) reports `code`, else the leader's own.
    pub by_group: bool,
}

/// The kernel's accounting of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU, ns.
    pub exec_runtime_ns: u64,
    /// Time on a run queue, ns.
    pub run_delay_ns: u64,
    /// Times put on a CPU.
    pub run_count: u64,
    /// User mode, ns.
    pub utime_ns: u64,
    /// Kernel mode, ns.
    pub stime_ns: u64,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// Minor faults.
    pub min_flt: u64,
    /// Major faults.
    pub maj_flt: u64,
}

/// A new task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// The new task.
    pub task: TaskRef,
    /// Start of its group's leader, where read: with the tgid the group's identity.
    pub leader_start: Option<Ktime>,
    /// Who called clone(2).
    pub creator: Option<TaskRef>,
    /// `real_parent`.
    pub parent: Option<TaskRef>,
    /// Flags of clone(2).
    pub clone_flags: Option<u64>,
    /// Signal for the parent at its death; -1 for a thread that is not the leader.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Where it lives.
    pub place: Place,
    /// Its comm.
    pub comm: Option<Comm>,
}

/// A failed clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneFailed {
    /// Who asked.
    pub creator: Option<TaskRef>,
    /// Flags asked for.
    pub clone_flags: Option<u64>,
    /// Exit signal asked for.
    pub exit_signal: Option<i32>,
    /// The error, positive.
    pub errno: i32,
    /// What refused it, where that was read.
    pub refused_by: Option<Arc<ForkLimit>>,
}

/// Forks of one process that failed lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkFailures {
    /// How many, without those that came longer than a minute after the one before.
    pub count: u64,
    /// The first of these, and the last.
    pub first: Ktime,
    /// See [`Self::first`].
    pub last: Ktime,
    /// The error of the last: `EAGAIN` or `ENOMEM`.
    pub errno: i32,
    /// The limit that was full at the last, if one was found.
    pub by: Option<Arc<ForkLimit>>,
    /// Whether the limits were read at the last: not in a storm of failures.
    pub is_read: bool,
}

/// A limit that was full when a failed fork became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkLimit {
    /// Which.
    pub kind: ForkLimitKind,
    /// The cgroup's path, the uid, or the pid namespace's inode number; empty for the host's.
    pub name: String,
    /// Tasks that count against it; `None` where nobody can say.
    pub used: Option<u64>,
    /// At most; `None` for what is no number.
    pub limit: Option<u64>,
}

/// What can refuse a fork, in the order in which `copy_process()` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkLimitKind {
    /// `RLIMIT_NPROC` of a user.
    RlimitNproc,
    /// `kernel.threads-max`.
    ThreadsMax,
    /// `pids.max` of a cgroup.
    Cgroup,
    /// `kernel.pid_max`.
    PidMax,
    /// The init of the pid namespace has ended.
    PidNamespace,
}

impl ForkLimitKind {
    /// Stable code, as in `/v1/limits`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RlimitNproc => "rlimit_nproc",
            Self::ThreadsMax => "threads_max",
            Self::Cgroup => "cgroup",
            Self::PidMax => "pid_max",
            Self::PidNamespace => "pid_namespace",
        }
    }
}

/// An exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The task, under its tid after the exec.
    pub task: TaskRef,
    /// Its tid before; another one where a thread that is not the leader exec'ed.
    pub old_tid: Option<crate::model::id::Tid>,
    /// Where it lives after the exec.
    pub place: Place,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Its exit signal after the exec.
    pub exit_signal: Option<i32>,
    /// Its new comm.
    pub comm: Option<Comm>,
    /// The file name given to execve(2).
    pub path: Option<Vec<u8>>,
    /// Path of the file that was mapped, as `/proc/PID/exe` has it.
    pub executable: Option<Vec<u8>>,
    /// Whether `path` or `executable` was cut.
    pub truncated: bool,
}

/// An argument vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecArgs {
    /// The task.
    pub task: TaskRef,
    /// The arguments.
    pub args: Vec<Vec<u8>>,
    /// Whether some of it was cut.
    pub truncated: bool,
}

/// A changed comm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The task.
    pub task: TaskRef,
    /// Before.
    pub old: Comm,
    /// After.
    pub new: Comm,
}

/// `do_exit()` began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exiting {
    /// The task.
    pub task: TaskRef,
    /// Status parts as known now.
    pub exit: ExitParts,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Tasks of the group not released yet, this one included.
    pub nr_threads: Option<i32>,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// Whether the task has children of its own.
    pub has_children: Option<bool>,
    /// Whether `real_parent` ignores SIGCHLD or has set `SA_NOCLDWAIT`: nobody waits for this group then. On the tracepoint
    /// rung nothing else tells a leader that went by itself from one that was waited for before its final switch.
    pub parent_ignores_sigchld: Option<bool>,
}

/// Which function an [`Exited`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitSource {
    /// `exit_notify()`.
    ExitNotify,
    /// `proc_exit_connector()`.
    ProcExitConnector,
    /// `do_task_dead()`.
    DoTaskDead,
    /// The final `sched_switch`. Comes after one of the others too, where these are in use, with the final accounting.
    FinalSwitch,
}

/// A dead task after `exit_notify()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The task.
    pub task: TaskRef,
    /// Where the record comes from.
    pub source: ExitSource,
    /// `EXIT_ZOMBIE` 32 or `EXIT_DEAD` 16.
    pub exit_state: Option<u32>,
    /// Status parts.
    pub exit: ExitParts,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Tasks of the group not released yet.
    pub nr_threads: Option<i32>,
    /// `real_parent` now.
    pub parent: Option<TaskRef>,
    /// `None` unknown, `Some(None)` not ptraced, `Some(Some(t))` ptraced by t.
    pub tracer: Option<Option<TaskRef>>,
    /// The new parent of the task's own children, read from one of them (tracepoint rung only).
    pub new_reaper: Option<TaskRef>,
    /// Accounting.
    pub usage: Option<Usage>,
}

/// A child handed on to a new parent because its parent exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reparented {
    /// The child.
    pub child: TaskRef,
    /// The dying task.
    pub old_parent: Option<TaskRef>,
    /// The new parent.
    pub new_parent: TaskRef,
    /// The child's exit signal now: `reparent_leader()` has reset it to SIGCHLD.
    pub exit_signal: Option<i32>,
}

/// Which point of a release a [`Released`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseSource {
    /// Entry of `release_task()`.
    Entry,
    /// Return of a `release_task()` of the group's last thread, which released the dead leader too.
    SecondTurn,
    /// The RCU callback after the release: late, reaper unknown.
    Free,
}

/// A released task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The task. With `de_thread` its tid is the exec'ing thread's former one and its start the old leader's.
    pub task: TaskRef,
    /// Where the record comes from.
    pub source: ReleaseSource,
    /// Who ran `release_task()`.
    pub by: Option<TaskRef>,
    /// `real_parent` at that moment.
    pub parent: Option<TaskRef>,
    /// As in [`Exited::tracer`].
    pub tracer: Option<Option<TaskRef>>,
    /// `EXIT_ZOMBIE` 32 when taken from a zombie, `EXIT_DEAD` 16.
    pub exit_state: Option<u32>,
    /// Status parts.
    pub exit: ExitParts,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// The old leader, given up by `de_thread()` for an exec'ing thread that took over its tid.
    pub de_thread: bool,
}

/// Where a snapshot of a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotSource {
    /// The BPF task iterator.
    Iterator,
    /// /proc.
    Procfs,
}

/// A task as a snapshot saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The task.
    pub task: TaskRef,
    /// Start of its group's leader, where read.
    pub leader_start: Option<Ktime>,
    /// Where the record comes from.
    pub source: SnapshotSource,
    /// `real_parent`.
    pub parent: Option<TaskRef>,
    /// As in [`Exited::tracer`].
    pub tracer: Option<Option<TaskRef>>,
    /// 0 alive, `EXIT_ZOMBIE` 32, `EXIT_DEAD` 16.
    pub exit_state: Option<u32>,
    /// Status parts.
    pub exit: ExitParts,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Tasks of the group not released yet.
    pub nr_threads: Option<i32>,
    /// `task_struct.__state`.
    pub state: Option<u32>,
    /// Where it lives.
    pub place: Place,
    /// Comm.
    pub comm: Option<Comm>,
    /// Accounting.
    pub usage: Option<Usage>,
}

/// What the kernel gave for a signal's `siginfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalInfo {
    /// `SEND_SIG_NOINFO`: the kernel sends on behalf of the current task.
    None,
    /// `SEND_SIG_PRIV`: the kernel sends for itself.
    Kernel,
    /// A `siginfo` of a system call or of a fault.
    Real,
}

/// A signal was generated: tracepoint `signal_generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSent {
    /// The task it is for.
    pub target: TaskRef,
    /// Any task of the target's group may take it.
    pub to_group: bool,
    /// The current task.
    pub sender: Option<TaskRef>,
    /// The sender's comm.
    pub sender_comm: Option<Comm>,
    /// The sender's real uid.
    pub sender_uid: Option<u32>,
    /// The sender's PF_ bits.
    pub sender_flags: Option<u32>,
    /// Its number.
    pub signal: i32,
    /// `si_code`.
    pub code: Option<i32>,
    /// What `si_code` is from.
    pub info: SignalInfo,
    /// `TRACE_SIGNAL_` number: 0 delivered, 1 ignored, 2 already pending, 3 overflow, 4 delivered without its `siginfo`.
    pub result: i32,
    /// `si_addr` of a fault.
    pub address: u64,
    /// `si_syscall` of a SIGSYS.
    pub syscall: i32,
    /// What the target does with it, where that was read.
    pub disposition: Option<Disposition>,
}

/// The out-of-memory killer has chosen a process: tracepoint `mark_victim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomVictim {
    /// The victim's tid.
    pub tid: super::id::Tid,
    /// The whole identity, where the kernel tells it.
    pub victim: Option<TaskRef>,
    /// The task that asked for memory.
    pub trigger: Option<TaskRef>,
    /// Its comm.
    pub trigger_comm: Option<Comm>,
    /// The limit that was met.
    pub limit: Option<Box<super::death::OomLimit>>,
}

/// What a process does with a signal, as `/proc/PID/status` says when the signal becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It has left it to the kernel, which ends it.
    Default,
    /// It ignores it: `SigIgn`.
    Ignored,
    /// Its leader blocks it: `SigBlk`.
    Blocked,
    /// It has a handler: `SigCgt`.
    Caught,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_longer_name_left_behind_the_nul_is_no_part_of_a_name() {
        assert_eq!(Comm::of_kernel(*b"sh\0rts::process\0"), Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert_eq!(Comm::of_kernel([b'x'; 16]).bytes(), [b'x'; 16]);
    }
}
