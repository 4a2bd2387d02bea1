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
    /// Must begin its exit with this code at its next step.
    pub(crate) doomed: Option<i32>,
    /// A vfork'ed child that has neither exec'ed nor exited.
    pub(crate) waits_for: Option<TaskNo>,
    pub(crate) tracer: Option<TaskNo>,
    /// Has passed `exit_notify()`, and not yet what follows it.
    pub(crate) owes_exited: bool,
    pub(crate) owes_switch: bool,
    pub(crate) switched: bool,
    pub(crate) owes_free: bool,
    /// First and last child when it began to die: what the tracepoint rung remembers.
    pub(crate) samples: Vec<TaskNo>,
    /// Real parent at its release.
    pub(crate) last_parent: Option<TaskNo>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "group_exit is the kernel's word")]
pub(crate) struct Group {
    pub(crate) tgid: u32,
    pub(crate) start: u64,
    pub(crate) leader: TaskNo,
    /// Not released, in the order of `signal->thread_head`.
    pub(crate) members: Vec<TaskNo>,
    /// `real_parent` of its leader.
    pub(crate) parent: TaskNo,
    pub(crate) exit_signal: i32,
    /// `SIGNAL_GROUP_EXIT` and its code.
    pub(crate) group_exit: Option<i32>,
    /// `SIGCHLD` ignored.
    pub(crate) ignores: bool,
    pub(crate) subreaper: bool,
    /// The thread that waits in `de_thread()`.
    pub(crate) execing: Option<TaskNo>,
    pub(crate) namespace: usize,
    /// A namespace's init in `zap_pid_ns_processes()`.
    pub(crate) zapping: bool,
    /// Who was its parent when it was released, and whether that one's wait(2) did it: only then does `wait_task_zombie()` charge it.
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
            owes_exited: false,
            owes_switch: false,
            switched: false,
            owes_free: false,
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
