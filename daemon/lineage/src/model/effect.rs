//! What a record changed. An effect has everything that a sink needs to show, count or send it without a query.

use std::sync::Arc;

use crate::model::action_kind::ActionKind;
use crate::model::arguments::Arguments;
use crate::model::death::GroupDeath;
use crate::model::figures::Doing;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef, Tid};
use crate::model::life::Life;
use crate::model::path_name::PathName;
use crate::model::record::{Comm, ForkLimit, Namespaced, Usage};
use crate::model::scope::Scope;
use crate::model::status::WaitStatus;
use crate::model::task::TaskKind;
use crate::model::usage::{ChildrenUsage, GroupUsage};

pub use crate::model::kinds::{Bound, Creation, Hook, Provenance, ReaperKind, ReparentKind, Span};

/// One thing that happened to one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// When, by the kernel's clock.
    pub at: Ktime,
    /// How it is known.
    pub provenance: Provenance,
    /// Where it was seen, where more than one place is possible.
    pub hook: Option<Hook>,
    /// How far it lies before an effect that was emitted already, ns; 0 means in order.
    pub late_ns: u64,
    /// The thread group, as it is after this.
    pub process: Process,
    /// The task, as it is after this.
    pub thread: Thread,
    /// What happened.
    pub action: Action,
}

/// A thread group in an effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Which.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// The group of its `real_parent`. Tgid 0 is the kernel's own idle task, parent of init and kthreadd.
    pub parent: Option<GroupKey>,
    /// Its id in its own pid namespace.
    pub vpid: Option<u32>,
    /// Path of the program it runs, from its last exec or that of the process it was forked from.
    pub executable: Option<Arc<PathName>>,
    /// Its arguments, of a process that was there before records came and has not execed since; only where they are asked for.
    pub arguments: Option<Arc<Arguments>>,
    /// Real and effective uid.
    pub credentials: Option<(u32, u32)>,
    /// What wait(2) says of it, once that cannot change.
    pub status: Option<WaitStatus>,
}

/// A task in an effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thread {
    /// Which.
    pub key: TaskKey,
    /// Its comm.
    pub name: Option<Comm>,
    /// What it is.
    pub kind: TaskKind,
    /// Signal for its parent at its death.
    pub exit_signal: Option<i32>,
    /// Its `exit_state`, once decided.
    pub exit_state: Option<u32>,
    /// Its own exit status.
    pub exit_code: Option<i32>,
    /// PF_ bits.
    pub flags: Option<u32>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Its ids in its own pid namespace.
    pub namespace: Option<Namespaced>,
}

/// Who released a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaper {
    /// The task that did; `None` where only the kernel's rule tells which process it was.
    pub task: Option<TaskRef>,
    /// The thread group it belongs to.
    pub process: GroupKey,
    /// Its comm.
    pub name: Option<Comm>,
    /// Relation.
    pub kind: ReaperKind,
}

/// A long uninterruptible sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// For how long.
    pub blocked: Span,
    /// Whether a fatal signal ends it (`TASK_KILLABLE`).
    pub killable: bool,
    /// Functions of the kernel that it is in, the innermost first, as `name+offset/size`.
    pub stack: Vec<String>,
}

impl Sleep {
    /// What the sleep is called.
    #[must_use]
    pub const fn doing(&self) -> Doing {
        if self.killable { Doing::Killable } else { Doing::Uninterruptible }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `copy_process()` made the task.
    Forked {
        /// How.
        creation: Option<Creation>,
        /// Flags of clone(2).
        clone_flags: Option<u64>,
        /// Who called clone(2). With `CLONE_PARENT` not the parent.
        creator: Option<TaskRef>,
    },
    /// The first task came to a cgroup; process and thread are the one that came, where that is known, else the one that brought it.
    ScopeBegan(Arc<Scope>),
    /// The last task of a cgroup left; process and thread are the one that left last, where that is known.
    ScopeEnded(Arc<Scope>),
    /// `copy_process()` failed; process and thread are the caller's.
    CloneFailed {
        /// Flags asked for.
        clone_flags: Option<u64>,
        /// Exit signal asked for.
        exit_signal: Option<i32>,
        /// The error.
        errno: i32,
        /// What refused it, where that was read.
        refused_by: Option<Arc<ForkLimit>>,
    },
    /// Runs another program.
    Execed {
        /// The file name given to execve(2).
        path: Option<Arc<PathName>>,
        /// Whether `path` or the executable's path was cut.
        truncated: bool,
        /// Arguments, where asked for, and whether they were cut.
        args: Option<(Vec<Vec<u8>>, bool)>,
        /// How long this child of a vfork(2) held its parent.
        vfork_held_ns: Option<u64>,
        /// Of the first exec of a process whose birth was seen: time since `copy_process()`.
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
        /// Tasks of the group not released yet, by the kernel's count.
        nr_threads: Option<i32>,
    },
    /// `exit_notify()` has decided.
    Exited {
        /// Accounting, where it came with the same record.
        usage: Option<Usage>,
        /// Tasks of the group not released yet, by the kernel's count.
        nr_threads: Option<i32>,
        /// Who traces it.
        tracer: Option<TaskRef>,
        /// How long this child of a vfork(2) held its parent.
        vfork_held_ns: Option<u64>,
        /// Time in `do_exit()`, up to where this was seen; `None` where its beginning was not.
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
        /// Why it ended; `None` where it exited by itself with nothing else to tell: its status says all.
        death: Option<Arc<GroupDeath>>,
        /// Of a process that exec'ed: time since the last exec.
        since_exec_ns: Option<u64>,
    },
    /// `do_exit()` began long ago and has not ended.
    ExitStuck {
        /// For how long.
        stuck_ns: u64,
    },
    /// Has been in uninterruptible sleep for longer than the threshold.
    BlockedFlagged(Box<Sleep>),
    /// That sleep is over.
    BlockedCleared {
        /// How long it was seen to last.
        blocked: Span,
    },
    /// Only a wait(2) is missing.
    ZombieBegan {
        /// Who traces it, and so keeps it from its parent.
        tracer: Option<TaskRef>,
    },
    /// Has been a zombie for longer than the threshold.
    ZombieFlagged {
        /// For how long.
        zombie: Span,
        /// Comm of the parent that owes the wait(2).
        parent_name: Option<Comm>,
    },
    /// Its parent exited and it has another.
    Reparented {
        /// The former `real_parent`, where known.
        old_parent: Option<TaskRef>,
        /// The new one.
        new_parent: TaskRef,
        /// What the new one is.
        kind: ReparentKind,
    },
    /// Taken by a wait(2), or by another's `release_task()`.
    Reaped {
        /// The task that did it.
        reaper: Option<Reaper>,
        /// For how long it was a zombie; `None` for a thread that is not the leader.
        zombie: Option<Span>,
    },
    /// Went straight to `EXIT_DEAD`: nobody waits for it.
    Autoreaped,
    /// `release_task()`: its tid is free.
    Released {
        /// The task that did it.
        reaper: Option<Reaper>,
        /// With its leader the group is gone: what its tasks used, as far as known.
        usage: Option<GroupUsage>,
        /// What the group's dead children used, if it had any.
        children_usage: Option<Box<ChildrenUsage>>,
        /// With its leader the group is gone: its life, where [`Config::tells_lives`](crate::Config::tells_lives) asks for it.
        life: Option<Arc<Life>>,
    },
}

impl Action {
    /// Which action it is, without its details.
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
            Self::ZombieBegan { .. } => ActionKind::ZombieBegan,
            Self::ZombieFlagged { .. } => ActionKind::ZombieFlagged,
            Self::Reparented { .. } => ActionKind::Reparented,
            Self::Reaped { .. } => ActionKind::Reaped,
            Self::Autoreaped => ActionKind::Autoreaped,
            Self::Released { .. } => ActionKind::Released,
        }
    }

    /// Stable name: `event.action` of the JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }
}
