//! Which fields of a record the eBPF program could read.

/// Bits of a record's `valid` field. A field whose bit is not set holds zero and means "unknown", never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid;

impl Valid {
    /// `parent`: the task's `real_parent`.
    pub const PARENT: u32 = 1 << 0;
    /// `creator` or `by`: the task that ran the hooked function.
    pub const ACTOR: u32 = 1 << 1;
    /// `exit_signal`.
    pub const EXIT_SIGNAL: u32 = 1 << 2;
    /// `clone_flags`.
    pub const CLONE_FLAGS: u32 = 1 << 3;
    /// `place.cgroup_id`.
    pub const CGROUP: u32 = 1 << 4;
    /// `place.vtid`, `place.pid_ns`, `place.ns_level`.
    pub const NAMESPACE: u32 = 1 << 5;
    /// `place.uid`, `place.euid`.
    pub const CREDENTIALS: u32 = 1 << 6;
    /// `task_flags`: `task_struct.flags`, the PF_ bits.
    pub const TASK_FLAGS: u32 = 1 << 7;
    /// `exit_code`.
    pub const EXIT_CODE: u32 = 1 << 8;
    /// `group_exit_code`, `signal_flags`.
    pub const GROUP_EXIT: u32 = 1 << 9;
    /// `exit_state`.
    pub const EXIT_STATE: u32 = 1 << 10;
    /// `tracer`: the task is ptraced by it.
    pub const TRACER: u32 = 1 << 11;
    /// `new_reaper`: the parent that the exiting task's children have now, as read from one of them.
    pub const NEW_REAPER: u32 = 1 << 12;
    /// `usage`.
    pub const USAGE: u32 = 1 << 13;
    /// `comm`.
    pub const COMM: u32 = 1 << 14;
    /// `path` holds the file name given to execve(2).
    pub const PATH: u32 = 1 << 15;
    /// `path` or `args` was longer than the record.
    pub const TRUNCATED: u32 = 1 << 16;
    /// `place.vtgid`.
    pub const VTGID: u32 = 1 << 17;
    /// `ptrace` was read: without [`Valid::TRACER`] the task is not traced.
    pub const PTRACE: u32 = 1 << 18;
    /// `state`: `task_struct.__state`.
    pub const STATE: u32 = 1 << 19;
    /// `executable` holds the path of the mapped file.
    pub const EXECUTABLE: u32 = 1 << 20;
    /// `nr_threads`: `signal_struct.nr_threads`.
    pub const NR_THREADS: u32 = 1 << 21;
    /// The released task is the old leader after an exec by another thread, under that thread's former tid (`de_thread()`).
    pub const DE_THREAD: u32 = 1 << 22;
    /// `exit_notify()` was called with `group_dead` set: the whole group is dead.
    pub const GROUP_DEAD: u32 = 1 << 23;
    /// The exiting task still has children of its own.
    pub const HAS_CHILDREN: u32 = 1 << 24;
    /// Whether the parent ignores SIGCHLD was read: [`Valid::PARENT_IGNORES`].
    pub const PARENT_SIGCHLD: u32 = 1 << 25;
    /// The parent ignores SIGCHLD or has set `SA_NOCLDWAIT`.
    pub const PARENT_IGNORES: u32 = 1 << 26;
    /// `code`: the `si_code` of a signal.
    pub const SIGNAL_CODE: u32 = 1 << 27;
    /// Every part of the identity was read, not the tid alone.
    pub const IDENTITY: u32 = 1 << 28;
    /// The executable has no name any more, or never had one: no directory entry leads to it.
    pub const DELETED: u32 = 1 << 29;
    /// `task_struct.in_execve` of the sender was read; [`Valid::IN_EXECVE`] has its value.
    pub const EXECVE: u32 = 1 << 30;
    /// The sender is in execve(2).
    pub const IN_EXECVE: u32 = 1 << 31;
}
