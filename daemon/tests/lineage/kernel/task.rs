//! The model's tasks, thread groups and pid namespaces.

use super::{GroupNo, SIGCHLD, TaskNo};

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Running,
    /// In `do_exit()`, `PF_EXITING` set.
    Exiting,
    /// `EXIT_ZOMBIE`.
    Zombie,
    /// `EXIT_DEAD`, on its way to release itself.
    Going,
    /// `EXIT_DEAD`: released.
    Dead,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a task still owes")]
pub(crate) struct Task {
    pub(crate) tid: u32,
    pub(crate) start: u64,
    pub(crate) group: GroupNo,
    pub(crate) state: State,
    pub(crate) comm: u8,
    pub(crate) exit_code: i32,
    /// The code with which the task must begin its exit at its next step.
    pub(crate) doomed: Option<i32>,
    /// The child of vfork(2) for which this task waits: it has neither called execve nor exited.
    pub(crate) waits_for: Option<TaskNo>,
    pub(crate) tracer: Option<TaskNo>,
    /// Whether the task has passed `exit_notify()` but not yet the function after it.
    pub(crate) exited_due: bool,
    pub(crate) switch_due: bool,
    pub(crate) switched: bool,
    pub(crate) free_due: bool,
    /// The first and the last child at the time when the task began to die: the tracepoint rung stores these.
    pub(crate) samples: Vec<TaskNo>,
    /// The real parent at the task's release.
    pub(crate) last_parent: Option<TaskNo>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "group_exit is the kernel's word")]
pub(crate) struct Group {
    pub(crate) tgid: u32,
    pub(crate) start: u64,
    pub(crate) leader: TaskNo,
    /// Threads that are not released, in the order of `signal->thread_head`.
    pub(crate) members: Vec<TaskNo>,
    /// `real_parent` of its leader.
    pub(crate) parent: TaskNo,
    pub(crate) exit_signal: i32,
    /// `SIGNAL_GROUP_EXIT` and its code.
    pub(crate) group_exit: Option<i32>,
    /// Whether the group ignores `SIGCHLD`.
    pub(crate) ignores: bool,
    pub(crate) subreaper: bool,
    /// The thread that waits in `de_thread()`.
    pub(crate) execing: Option<TaskNo>,
    pub(crate) namespace: usize,
    /// Whether the group is a namespace's init in `zap_pid_ns_processes()`.
    pub(crate) zapping: bool,
    /// The parent at the release, and whether a wait(2) of that parent reaped the group: only then does `wait_task_zombie()` add
    /// its usage to the parent.
    pub(crate) passed: Option<(GroupNo, bool)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) init: GroupNo,
    pub(crate) level: u32,
    pub(super) parent: usize,
}

impl Task {
    pub(super) fn new(tid: u32, start: u64, group: GroupNo) -> Self {
        Self {
            tid,
            start,
            group,
            state: State::Running,
            comm: 1,
            exit_code: 0,
            doomed: None,
            waits_for: None,
            tracer: None,
            exited_due: false,
            switch_due: false,
            switched: false,
            free_due: false,
            samples: Vec::new(),
            last_parent: None,
        }
    }
}

impl Group {
    pub(super) fn new(tgid: u32, start: u64, leader: TaskNo, parent: TaskNo) -> Self {
        Self {
            tgid,
            start,
            leader,
            members: Vec::new(),
            parent,
            exit_signal: SIGCHLD,
            group_exit: None,
            ignores: false,
            subreaper: false,
            execing: None,
            namespace: 0,
            zapping: false,
            passed: None,
        }
    }
}
