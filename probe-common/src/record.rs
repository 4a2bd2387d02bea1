//! The records. Each begins with a [`Header`]; `valid` says which of the other fields are known.

use crate::wire::wire_struct;

/// Length of a comm, its NUL included: `TASK_COMM_LEN`.
pub const COMM_LEN: usize = 16;
/// Length of a path in an exec record.
pub const PATH_LEN: usize = 256;
/// Length of an argument vector in a record.
pub const ARGS_LEN: usize = 1024;

/// [`Exiting::seccomp_mode`]: not read.
pub const SECCOMP_UNREAD: u32 = u32::MAX;

wire_struct! {
    /// First part of every record.
    pub struct Header = 16 {
        /// [`crate::Kind`].
        pub kind: u16,
        /// CPU that the program ran on.
        pub cpu: u16,
        /// Length of the record, header included, in bytes.
        pub len: u32,
        /// Time of the event: `bpf_ktime_get_boot_ns()`, nanoseconds since boot, suspend included.
        pub boottime_ns: u64,
    }
}

wire_struct! {
    /// Identifies a task: a task that reuses the tid has another start.
    pub struct TaskId = 16 {
        /// `task_struct.pid`, in the initial pid namespace.
        pub tid: u32,
        /// `task_struct.tgid`, in the initial pid namespace.
        pub tgid: u32,
        /// `task_struct.start_boottime`, nanoseconds since boot.
        pub start_ns: u64,
    }
}

wire_struct! {
    /// The cgroup, pid namespace and users of a task.
    pub struct Where = 32 {
        /// Id of its cgroup in the v2 hierarchy, `cgroups->dfl_cgrp->kn->id`; on a host with v1 controllers the pair of that and
        /// its cgroup there: [`crate::CgroupPair`].
        pub cgroup_id: u64,
        /// Its tid in its own pid namespace.
        pub vtid: u32,
        /// Its thread group's id in that namespace.
        pub vtgid: u32,
        /// Inode number of that namespace, as in `/proc/PID/ns/pid`.
        pub pid_ns: u32,
        /// Depth of that namespace; 0 is the initial one.
        pub ns_level: u32,
        /// Real uid, in the initial user namespace.
        pub uid: u32,
        /// Effective uid, in the initial user namespace.
        pub euid: u32,
    }
}

wire_struct! {
    /// The kernel's accounting of one task.
    pub struct Usage = 72 {
        /// `se.sum_exec_runtime`: time on a CPU, ns.
        pub exec_runtime_ns: u64,
        /// `sched_info.run_delay`: time on a run queue, ns.
        pub run_delay_ns: u64,
        /// `sched_info.pcount`: times it was put on a CPU.
        pub run_count: u64,
        /// `utime`: time in user mode, ns, as sampled by the tick, or exact with vtime accounting.
        pub utime_ns: u64,
        /// `stime`: time in kernel mode, ns, like `utime`.
        pub stime_ns: u64,
        /// `nvcsw`: voluntary switches.
        pub nvcsw: u64,
        /// `nivcsw`: involuntary switches.
        pub nivcsw: u64,
        /// `min_flt`: minor faults.
        pub min_flt: u64,
        /// `maj_flt`: major faults.
        pub maj_flt: u64,
    }
}

wire_struct! {
    /// A new task, after `copy_process()` linked it in and before it runs.
    pub struct TaskNew = 144 {
        /// Header.
        pub header: Header,
        /// The new task.
        pub task: TaskId,
        /// The task that called clone(2), fork(2) or vfork(2).
        pub creator: TaskId,
        /// `real_parent`.
        pub parent: TaskId,
        /// Flags of clone(2), as `copy_process()` got them; the low byte of the system call is `exit_signal`.
        pub clone_flags: u64,
        /// Its namespaces and cgroup.
        pub place: Where,
        /// The signal that the parent gets when it dies; -1 for a thread that is not the leader.
        pub exit_signal: i32,
        /// PF_ bits.
        pub task_flags: u32,
        /// Its comm, which is still that of the creator.
        pub comm: [u8; COMM_LEN],
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
        /// `start_ns` of the group's leader: with `task.tgid` the group's identity.
        pub leader_start_ns: u64,
    }
}

wire_struct! {
    /// `copy_process()` failed.
    pub struct CloneFailed = 56 {
        /// Header.
        pub header: Header,
        /// The task that called clone(2).
        pub creator: TaskId,
        /// The requested flags.
        pub clone_flags: u64,
        /// The error, positive: 11 is EAGAIN.
        pub errno: i32,
        /// Exit signal it asked for.
        pub exit_signal: i32,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// A task was moved to another cgroup, of any hierarchy; the move is complete.
    pub struct CgroupAttached = 48 {
        /// Header.
        pub header: Header,
        /// The task that was moved: the leader, where a whole thread group was.
        pub task: TaskId,
        /// Its cgroup now, as in [`Where`].
        pub cgroup_id: u64,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// A task runs another program.
    pub struct Exec = 616 {
        /// Header.
        pub header: Header,
        /// The task, under its tid after the exec.
        pub task: TaskId,
        /// Its namespaces, cgroup and user ids after the exec.
        pub place: Where,
        /// Its tid before the exec; another tid if a thread that is not the leader called execve(2).
        pub old_tid: u32,
        /// PF_ bits.
        pub task_flags: u32,
        /// Its new comm.
        pub comm: [u8; COMM_LEN],
        /// [`crate::Valid`].
        pub valid: u32,
        /// Bytes in use of `path`.
        pub path_len: u16,
        /// Bytes in use of `executable`.
        pub executable_len: u16,
        /// The file name given to execve(2).
        pub path: [u8; PATH_LEN],
        /// The mapped file, names from the file up to the root, each ended by NUL.
        pub executable: [u8; PATH_LEN],
        /// `exit_signal` after the exec.
        pub exit_signal: i32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// The argument vector of an exec.
    pub struct ExecArgs = 1064 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Bytes in use of `args`.
        pub len: u32,
        /// The arguments, each ended by NUL.
        pub args: [u8; ARGS_LEN],
    }
}

wire_struct! {
    /// A task changed its comm, or had it changed.
    pub struct Renamed = 72 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// Comm before.
        pub old: [u8; COMM_LEN],
        /// Comm after.
        pub new: [u8; COMM_LEN],
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// `do_exit()` began.
    pub struct Exiting = 72 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// `code` of `do_exit()`: wait(2) status of this one task.
        pub exit_code: i32,
        /// `signal->group_exit_code`.
        pub group_exit_code: i32,
        /// `signal->flags`; bit 2 is `SIGNAL_GROUP_EXIT`.
        pub signal_flags: u32,
        /// PF_ bits.
        pub task_flags: u32,
        /// `signal->nr_threads`: tasks of the group that are not released yet, this one included.
        pub nr_threads: i32,
        /// `exit_signal`.
        pub exit_signal: i32,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Thread group of its tracer, if a signal ends the task; 0 if it is not traced.
        pub tracer_tgid: u32,
        /// `seccomp.mode`, if a signal ends the task; [`crate::SECCOMP_UNREAD`] otherwise.
        pub seccomp_mode: u32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// `exit_notify()` has decided the `exit_state` of a dead task.
    pub struct Exited = 192 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// `real_parent` now.
        pub parent: TaskId,
        /// `parent` where the task is ptraced: the tracer.
        pub tracer: TaskId,
        /// New parent of the task's own children, read from one of them.
        pub new_reaper: TaskId,
        /// `EXIT_ZOMBIE` 32, `EXIT_DEAD` 16.
        pub exit_state: u32,
        /// `task_struct.exit_code`.
        pub exit_code: i32,
        /// `signal->group_exit_code`.
        pub group_exit_code: i32,
        /// `signal->flags`; bit 2 is `SIGNAL_GROUP_EXIT`.
        pub signal_flags: u32,
        /// `exit_signal`.
        pub exit_signal: i32,
        /// PF_ bits.
        pub task_flags: u32,
        /// `signal->nr_threads`.
        pub nr_threads: i32,
        /// [`crate::ExitSource`].
        pub source: u32,
        /// The kernel's accounting of the task.
        pub usage: Usage,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
    }
}

wire_struct! {
    /// A child was reparented.
    pub struct Reparented = 72 {
        /// Header.
        pub header: Header,
        /// The child.
        pub child: TaskId,
        /// The exiting task that was its `real_parent`.
        pub old_parent: TaskId,
        /// Its `real_parent` now.
        pub new_parent: TaskId,
        /// Its `exit_signal` now: `reparent_leader()` has reset it to SIGCHLD.
        pub exit_signal: i32,
        /// [`crate::Valid`].
        pub valid: u32,
    }
}

wire_struct! {
    /// A task is released: its tid is free.
    pub struct Released = 120 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// The task that ran `release_task()` on it.
        pub by: TaskId,
        /// `real_parent` at that moment. With [`crate::ReleaseSource::Free`] the parent may be freed by then, and its memory may
        /// hold another task.
        pub parent: TaskId,
        /// The tracer, where it was ptraced.
        pub tracer: TaskId,
        /// `exit_state`.
        pub exit_state: u32,
        /// `task_struct.exit_code`.
        pub exit_code: i32,
        /// `signal->group_exit_code`.
        pub group_exit_code: i32,
        /// `signal->flags`.
        pub signal_flags: u32,
        /// `exit_signal`.
        pub exit_signal: i32,
        /// PF_ bits.
        pub task_flags: u32,
        /// [`crate::ReleaseSource`].
        pub source: u32,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u64,
    }
}

wire_struct! {
    /// One task in the iterator's snapshot.
    pub struct Snapshot = 240 {
        /// Header; its time is when the task was read.
        pub header: Header,
        /// The task.
        pub task: TaskId,
        /// `real_parent`.
        pub parent: TaskId,
        /// The tracer, where it is ptraced.
        pub tracer: TaskId,
        /// Its namespaces, cgroup and user ids.
        pub place: Where,
        /// The kernel's accounting of a dead task.
        pub usage: Usage,
        /// Comm.
        pub comm: [u8; COMM_LEN],
        /// `exit_state`.
        pub exit_state: u32,
        /// `task_struct.exit_code`.
        pub exit_code: i32,
        /// `signal->group_exit_code`.
        pub group_exit_code: i32,
        /// `signal->flags`.
        pub signal_flags: u32,
        /// `exit_signal`.
        pub exit_signal: i32,
        /// PF_ bits.
        pub task_flags: u32,
        /// `signal->nr_threads`.
        pub nr_threads: i32,
        /// `task_struct.__state`.
        pub state: u32,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Zero.
        pub pad: u32,
        /// `start_ns` of the group's leader.
        pub leader_start_ns: u64,
        /// Zero.
        pub pad2: u64,
    }
}
