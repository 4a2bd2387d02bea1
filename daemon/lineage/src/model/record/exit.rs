//! Records of a task that ends, and the values that make its status.

use super::TaskUsage;
use crate::model::id::{TaskRef, Tgid};

/// The values from which wait(2) makes a group's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitParts {
    /// `task_struct.exit_code`, or the argument `code` of `do_exit()`: the status of this task.
    pub exit_code: Option<i32>,
    /// `signal->group_exit_code` and `signal->flags`. `None` once the task is detached from its signal structure.
    pub group: Option<GroupExit>,
}

/// The group's part of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupExit {
    /// `signal->group_exit_code`.
    pub code: i32,
    /// Whether `SIGNAL_GROUP_EXIT` is set in `signal->flags`. If set, wait(2) reports `code`; otherwise, it reports the leader's
    /// `exit_code`.
    pub by_group: bool,
}

/// `do_exit()` began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exiting {
    /// The task.
    pub task: TaskRef,
    /// Parts of the status at this time.
    pub exit: ExitParts,
    /// PF_ bits.
    pub task_flags: Option<u32>,
    /// Tasks of the group that are not released, this one included (`signal->nr_threads`).
    pub nr_threads: Option<i32>,
    /// Exit signal.
    pub exit_signal: Option<i32>,
    /// Whether the task has children of its own.
    pub has_children: Option<bool>,
    /// The thread group of its tracer, if a signal ends the task; `Some(None)` if it is not traced. The tracer can detach before
    /// [`Exited`].
    pub tracer: Option<Option<Tgid>>,
    /// Its `SECCOMP_MODE_` number, if a signal ends the task.
    pub seccomp_mode: Option<u32>,
    /// Whether `real_parent` ignores SIGCHLD or has set `SA_NOCLDWAIT`, so that the kernel autoreaps this group. On the
    /// tracepoint rung, only this field distinguishes an autoreaped leader from one that was reaped before its last switch.
    pub parent_ignores_sigchld: Option<bool>,
}

/// The kernel function that an [`Exited`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitSource {
    /// `exit_notify()`.
    ExitNotify,
    /// `proc_exit_connector()`.
    ProcExitConnector,
    /// `do_task_dead()`.
    DoTaskDead,
    /// The last `sched_switch` of the task, with its final usage. If another source is in use, this record comes in addition.
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
    /// Tasks of the group that are not released (`signal->nr_threads`).
    pub nr_threads: Option<i32>,
    /// `real_parent` now.
    pub parent: Option<TaskRef>,
    /// `None` is unknown, `Some(None)` is not traced, `Some(Some(t))` is traced by t.
    pub tracer: Option<Option<TaskRef>>,
    /// The new parent of the task's own children, read from one of them (tracepoint rung only).
    pub new_reaper: Option<TaskRef>,
    /// Accounting.
    pub usage: Option<TaskUsage>,
}

impl Exited {
    /// The new reaper, if it is in another process. A thread of the same process keeps the children in that process.
    pub(crate) fn new_reaper_process(&self) -> Option<TaskRef> {
        self.new_reaper.filter(|new_reaper| new_reaper.tgid != self.task.tgid)
    }
}
