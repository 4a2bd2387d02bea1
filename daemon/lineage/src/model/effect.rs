//! What a record changed. An effect has everything that a sink needs to show, count or send it without a query.

pub(crate) mod action_kind;
pub(crate) mod brief;
pub(crate) mod event_context;
pub(crate) mod kinds;

use std::sync::Arc;

use crate::model::action_kind::ActionKind;
use crate::model::arguments::Arguments;
use crate::model::death::GroupDeath;
use crate::model::figures::Doing;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef, Tid};
use crate::model::leak::Leak;
use crate::model::life::Life;
use crate::model::path_name::PathName;
use crate::model::record::{Comm, ForkLimit, Namespaced, TaskUsage};
use crate::model::scope::Scope;
use crate::model::status::WaitStatus;
use crate::model::task::TaskKind;
use crate::model::usage::{ChildrenUsage, GroupUsage};

pub use crate::model::kinds::{Bound, Creation, Hook, Provenance, ReaperKind, ReparentKind, Span};
pub use crate::model::relation::Reaper;

/// One thing that happened to one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// When it happened, on `CLOCK_BOOTTIME`.
    pub at: Ktime,
    /// How the daemon knows it.
    pub provenance: Provenance,
    /// The kernel function or tracepoint that showed it, if more than one can.
    pub hook: Option<Hook>,
    /// How much earlier it happened than an effect that was emitted before, ns; 0 if effects are in order.
    pub late_ns: u64,
    /// The thread group after the change.
    pub process: Process,
    /// The task after the change.
    pub thread: Thread,
    /// What happened.
    pub action: Action,
}

/// A thread group in an effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Its identity.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// The group of its `real_parent`. Tgid 0 is the kernel's idle task, the parent of init and kthreadd.
    pub parent: Option<GroupKey>,
    /// Its tgid in its own pid namespace.
    pub vpid: Option<u32>,
    /// Path of the program that it runs, by its last exec or by the last exec of the process that forked it.
    pub executable: Option<Arc<PathName>>,
    /// Its arguments, if it is older than the first record, has not called execve(2) since, and arguments are requested.
    pub arguments: Option<Arc<Arguments>>,
    /// Real and effective uid.
    pub credentials: Option<(u32, u32)>,
    /// Its wait(2) status, once it cannot change.
    pub status: Option<WaitStatus>,
}

/// A task in an effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thread {
    /// Its identity.
    pub key: TaskKey,
    /// Its comm.
    pub name: Option<Comm>,
    /// Its kind.
    pub kind: TaskKind,
    /// The signal that its parent gets when it dies.
    pub exit_signal: Option<i32>,
    /// Its `exit_state`, once decided.
    pub exit_state: Option<u32>,
    /// Its own `exit_code`.
    pub exit_code: Option<i32>,
    /// PF_ bits.
    pub flags: Option<u32>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Its ids in its own pid namespace.
    pub namespace: Option<Namespaced>,
}

/// A long uninterruptible sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// How long, ns.
    pub blocked: Span,
    /// Whether a fatal signal ends it (`TASK_KILLABLE`).
    pub killable: bool,
    /// The kernel functions on its stack, the innermost first, as `name+offset/size`.
    pub stack: Vec<String>,
}

impl Sleep {
    /// Returns the kind of sleep: killable or uninterruptible.
    #[must_use]
    pub const fn doing(&self) -> Doing {
        if self.killable { Doing::Killable } else { Doing::Uninterruptible }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `copy_process()` created the task.
    Forked {
        /// How it was created.
        creation: Option<Creation>,
        /// Flags of clone(2).
        clone_flags: Option<u64>,
        /// The task that called clone(2). With `CLONE_PARENT`, it is not the parent.
        creator: Option<TaskRef>,
    },
    /// A cgroup got its first task; process and thread are that task, if it is known, else the task that moved it there.
    ScopeBegan(Arc<Scope>),
    /// A cgroup lost its last task; process and thread are that task, if it is known.
    ScopeEnded(Arc<Scope>),
    /// `copy_process()` failed; process and thread are the caller's.
    CloneFailed {
        /// The requested flags.
        clone_flags: Option<u64>,
        /// The requested exit signal.
        exit_signal: Option<i32>,
        /// The error.
        errno: i32,
        /// The limit that refused it, if it was read.
        refused_by: Option<Arc<ForkLimit>>,
    },
    /// Runs another program.
    Execed {
        /// The file name given to execve(2).
        path: Option<Arc<PathName>>,
        /// Whether `path` or the executable's path was cut.
        truncated: bool,
        /// Arguments, if requested, and whether they were cut.
        args: Option<(Vec<Vec<u8>>, bool)>,
        /// How long this child of a vfork(2) held its parent.
        vfork_held_ns: Option<u64>,
        /// Of the first exec of a process whose fork was seen: time since `copy_process()`.
        since_fork_ns: Option<u64>,
    },
    /// A thread that is not the leader exec'ed and took over the leader's tid; thread and process are those after it.
    ExecTakeover {
        /// The thread's tid before.
        old_tid: Tid,
    },
    /// Changed its comm.
    Renamed {
        /// Before.
        old: Comm,
        /// After.
        new: Comm,
    },
    /// `do_exit()` began.
    Exiting {
        /// Tasks of the group that are not released, by the kernel's `signal->nr_threads`.
        nr_threads: Option<i32>,
    },
    /// `exit_notify()` has decided.
    Exited {
        /// Its usage, if the same record has it.
        usage: Option<TaskUsage>,
        /// Tasks of the group that are not released, by the kernel's `signal->nr_threads`.
        nr_threads: Option<i32>,
        /// Its tracer.
        tracer: Option<TaskRef>,
        /// How long this child of a vfork(2) held its parent.
        vfork_held_ns: Option<u64>,
        /// Time from the start of `do_exit()` to this record, ns; `None` if no record showed the start.
        exit_ns: Option<u64>,
    },
    /// The leader is dead and other threads live on: not a zombie, no wait can reap it.
    LeaderDied {
        /// Threads that live on.
        threads_left: u32,
    },
    /// The last task of the group is dead.
    GroupExited {
        /// What its tasks used, as far as known.
        usage: Option<GroupUsage>,
        /// Why it ended; `None` if it exited with code 0 and no signal was sent to it.
        death: Option<Arc<GroupDeath>>,
        /// Time since the last exec; `None` if the process has not called execve.
        since_exec_ns: Option<u64>,
    },
    /// `do_exit()` began long ago and has not ended.
    ExitStuck {
        /// How long, ns.
        stuck_ns: u64,
    },
    /// Has been in uninterruptible sleep for longer than the threshold.
    BlockedFlagged(Box<Sleep>),
    /// That sleep is over.
    BlockedCleared {
        /// How long polls saw it last.
        blocked: Span,
    },
    /// It causes a leak.
    LeakFlagged(Arc<Leak>),
    /// That leak is over; its last figures.
    LeakCleared(Arc<Leak>),
    /// It became a zombie: its parent has to wait(2) for it.
    ZombieBegan {
        /// Its tracer, which must wait(2) for it before its parent can.
        tracer: Option<TaskRef>,
    },
    /// Has been a zombie for longer than the threshold.
    ZombieFlagged {
        /// How long, ns.
        zombie: Span,
        /// Comm of the parent that has not waited for it.
        parent_name: Option<Comm>,
    },
    /// Its parent exited, and it has another parent now.
    Reparented {
        /// The former `real_parent`, if known.
        old_parent: Option<TaskRef>,
        /// The new one.
        new_parent: TaskRef,
        /// The kind of the new parent.
        kind: ReparentKind,
    },
    /// A wait(2), or `release_task()` in another task, reaped it.
    Reaped {
        /// The task that did it.
        reaper: Option<Reaper>,
        /// For how long it was a zombie; `None` for a thread that is not the leader.
        zombie: Option<Span>,
    },
    /// `exit_notify()` set `EXIT_DEAD`: no wait(2) is needed.
    Autoreaped,
    /// `release_task()`: its tid is free.
    Released {
        /// The task that did it.
        reaper: Option<Reaper>,
        /// If the task is the leader, the group is released with it: what its tasks used, as far as known.
        usage: Option<GroupUsage>,
        /// What the group's dead children used, if it had any.
        children_usage: Option<Box<ChildrenUsage>>,
        /// If the task is the leader, the group is released with it: its life, if
        /// [`Config::reports_lives`](crate::Config::reports_lives) is set.
        life: Option<Arc<Life>>,
    },
}

impl Action {
    /// Returns the kind of the action.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Forked { .. } => ActionKind::Forked,
            Self::CloneFailed { .. } => ActionKind::CloneFailed,
            Self::ScopeBegan(_) => ActionKind::ScopeBegan,
            Self::ScopeEnded(_) => ActionKind::ScopeEnded,
            Self::Execed { .. } => ActionKind::Execed,
            Self::ExecTakeover { .. } => ActionKind::ExecTakeover,
            Self::Renamed { .. } => ActionKind::Renamed,
            Self::Exiting { .. } => ActionKind::Exiting,
            Self::Exited { .. } => ActionKind::Exited,
            Self::LeaderDied { .. } => ActionKind::LeaderDied,
            Self::GroupExited { .. } => ActionKind::GroupExited,
            Self::ExitStuck { .. } => ActionKind::ExitStuck,
            Self::BlockedFlagged(_) => ActionKind::BlockedFlagged,
            Self::BlockedCleared { .. } => ActionKind::BlockedCleared,
            Self::LeakFlagged(_) => ActionKind::LeakFlagged,
            Self::LeakCleared(_) => ActionKind::LeakCleared,
            Self::ZombieBegan { .. } => ActionKind::ZombieBegan,
            Self::ZombieFlagged { .. } => ActionKind::ZombieFlagged,
            Self::Reparented { .. } => ActionKind::Reparented,
            Self::Reaped { .. } => ActionKind::Reaped,
            Self::Autoreaped => ActionKind::Autoreaped,
            Self::Released { .. } => ActionKind::Released,
        }
    }

    /// Returns the stable name, `event.action` in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }
}
