//! Records: what the kernel side reports. A field that the record does not have is `None`.
//!
//! The daemon's decoder makes records from the wire format (`probe-common`); the snapshot reader makes them from the task
//! iterator or /proc.

use std::sync::Arc;

use crate::model::id::{Ktime, TaskRef};
use crate::model::scope::CgroupChanged;

pub(crate) mod arguments;
pub(crate) mod comm;
pub(crate) mod exit;
mod fork_limit;
pub(crate) mod path_name;
mod signal;
mod terminal;

pub use self::{
    exit::{ExitParts, ExitSource, Exited, Exiting, GroupExit},
    fork_limit::{ForkFailures, ForkLimit, ForkLimitKind},
    signal::{CpuLimits, Disposition, SignalInfo, SignalSent},
    terminal::Terminal,
};
pub use crate::model::comm::Comm;

/// Something that happened to a task, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the hook ran, on `CLOCK_BOOTTIME`.
    pub at: Ktime,
    /// The CPU that the hook ran on.
    pub cpu: u16,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `copy_process()` created a task.
    New(New),
    /// `copy_process()` failed.
    CloneFailed(CloneFailed),
    /// A task runs another program.
    Exec(Box<Exec>),
    /// The argument vector of the exec in the record before it, if requested.
    ExecArgs(Box<ExecArgs>),
    /// A comm changed.
    Renamed(Renamed),
    /// `do_exit()` began.
    Exiting(Exiting),
    /// `exit_notify()` decided between zombie and dead; or a later point with the same facts.
    Exited(Exited),
    /// A child was reparented.
    Reparented(Reparented),
    /// A task was released.
    Released(Released),
    /// A task in a snapshot; `at` is when it was read.
    Snapshot(Box<Snapshot>),
    /// A task was moved to another cgroup.
    CgroupAttached(CgroupAttached),
    /// A signal was generated.
    Signal(Box<SignalSent>),
    /// The out-of-memory killer has chosen a process.
    OomVictim(Box<OomVictim>),
    /// A cgroup was created, removed, populated or emptied.
    CgroupChanged(Box<CgroupChanged>),
}

/// A task was moved to another cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupAttached {
    /// The task that was moved; the leader, if a whole thread group was moved.
    pub task: TaskRef,
    /// Its cgroup's id now.
    pub cgroup_id: Option<u64>,
}

/// The cgroup, pid namespace and credentials of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskPlace {
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
    /// Its thread group's id there, if it could be read.
    pub vtgid: Option<u32>,
    /// The namespace's inode number, as in `/proc/PID/ns/pid`.
    pub inode: u32,
    /// The namespace's depth; 0 is the initial one.
    pub level: u32,
}

/// The kernel's accounting of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskUsage {
    /// Time on a CPU, ns (`se.sum_exec_runtime`).
    pub exec_runtime_ns: u64,
    /// Time waiting on a run queue, ns (`sched_info.run_delay`).
    pub run_delay_ns: u64,
    /// How often it was put on a CPU (`sched_info.pcount`).
    pub run_count: u64,
    /// Time in user mode, ns, as sampled by ticks (`utime`).
    pub utime_ns: u64,
    /// Time in kernel mode, ns, as sampled by ticks (`stime`).
    pub stime_ns: u64,
    /// Voluntary context switches (`nvcsw`).
    pub nvcsw: u64,
    /// Involuntary context switches (`nivcsw`).
    pub nivcsw: u64,
    /// Minor page faults (`min_flt`).
    pub min_flt: u64,
    /// Major page faults (`maj_flt`).
    pub maj_flt: u64,
}

/// A new task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// The new task.
    pub task: TaskRef,
    /// Start time of its group's leader, if it was read; with the tgid, it is the group's identity.
    pub leader_start: Option<Ktime>,
    /// The task that called clone(2).
    pub creator: Option<TaskRef>,
    /// `real_parent`.
    pub parent: Option<TaskRef>,
    /// Flags of clone(2).
    pub clone_flags: Option<u64>,
    /// The signal that the parent gets when it dies; -1 for a thread that is not the leader.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Its cgroup, pid namespace and credentials.
    pub place: TaskPlace,
    /// Its comm.
    pub comm: Option<Comm>,
}

/// A failed clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneFailed {
    /// The task that called clone(2).
    pub creator: Option<TaskRef>,
    /// The requested flags.
    pub clone_flags: Option<u64>,
    /// The requested exit signal.
    pub exit_signal: Option<i32>,
    /// The errno, positive.
    pub errno: i32,
    /// The limit that refused it, if it was read.
    pub refused_by: Option<Arc<ForkLimit>>,
}

/// An exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The task, under its tid after the exec.
    pub task: TaskRef,
    /// Its tid before the exec; another tid if a thread that is not the leader called execve(2).
    pub old_tid: Option<crate::model::id::Tid>,
    /// Its cgroup, pid namespace and credentials after the exec.
    pub place: TaskPlace,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Its exit signal after the exec.
    pub exit_signal: Option<i32>,
    /// Its new comm.
    pub comm: Option<Comm>,
    /// The file name given to execve(2).
    pub path: Option<Vec<u8>>,
    /// Path of the file that was mapped, as `/proc/PID/exe` shows it.
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
    /// Whether arguments were cut.
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

/// A child got a new parent because its parent exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reparented {
    /// The child.
    pub child: TaskRef,
    /// The exiting task.
    pub old_parent: Option<TaskRef>,
    /// The new parent.
    pub new_parent: TaskRef,
    /// The child's exit signal now: `reparent_leader()` has reset it to SIGCHLD.
    pub exit_signal: Option<i32>,
}

/// The point of a release that a [`Released`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseSource {
    /// Entry of `release_task()`.
    Entry,
    /// Return of a `release_task()` of the group's last thread, which released the dead leader too.
    SecondTurn,
    /// The RCU callback after the release: it is late and does not show the reaper.
    Free,
}

/// A released task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The task. With `de_thread`, its tid is the former tid of the exec'ing thread and its start is that of the old leader.
    pub task: TaskRef,
    /// Where the record comes from.
    pub source: ReleaseSource,
    /// The task that ran `release_task()`.
    pub by: Option<TaskRef>,
    /// `real_parent` at that time.
    pub parent: Option<TaskRef>,
    /// As in [`Exited::tracer`].
    pub tracer: Option<Option<TaskRef>>,
    /// `EXIT_ZOMBIE` 32 if it was a zombie, or `EXIT_DEAD` 16.
    pub exit_state: Option<u32>,
    /// Status parts.
    pub exit: ExitParts,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Whether it is an old leader that `de_thread()` releases because a thread that called execve(2) took over its tid.
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

/// A task in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The task.
    pub task: TaskRef,
    /// Start time of its group's leader, if it was read.
    pub leader_start: Option<Ktime>,
    /// Where the record comes from.
    pub source: SnapshotSource,
    /// `real_parent`.
    pub parent: Option<TaskRef>,
    /// As in [`Exited::tracer`].
    pub tracer: Option<Option<TaskRef>>,
    /// 0 is alive, 32 is `EXIT_ZOMBIE`, 16 is `EXIT_DEAD`.
    pub exit_state: Option<u32>,
    /// Status parts.
    pub exit: ExitParts,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Tasks of the group that are not released (`signal->nr_threads`).
    pub nr_threads: Option<i32>,
    /// `task_struct.__state`.
    pub state: Option<u32>,
    /// Its cgroup, pid namespace and credentials.
    pub place: TaskPlace,
    /// Comm.
    pub comm: Option<Comm>,
    /// Accounting.
    pub usage: Option<TaskUsage>,
}

/// The out-of-memory killer has chosen a process: tracepoint `mark_victim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomVictim {
    /// The victim's tid.
    pub tid: super::id::Tid,
    /// The full identity of the victim, if the kernel passes it.
    pub victim: Option<TaskRef>,
    /// The task that was allocating memory.
    pub trigger: Option<TaskRef>,
    /// Its comm.
    pub trigger_comm: Option<Comm>,
    /// The memory limit that was reached.
    pub limit: Option<Box<super::death::OomLimit>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_to_the_length_of_a_comm() {
        assert_eq!(Comm::of_name(b"cpulimit").bytes(), b"cpulimit");
        assert_eq!(Comm::of_name(b"a_name_that_is_too_long").bytes(), b"a_name_that_is_");
    }

    #[test]
    fn what_a_longer_name_left_behind_the_nul_is_no_part_of_a_name() {
        assert_eq!(Comm::of_kernel(*b"sh\0rts::process\0"), Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert_eq!(Comm::of_kernel([b'x'; 16]).bytes(), [b'x'; 16]);
    }
}
