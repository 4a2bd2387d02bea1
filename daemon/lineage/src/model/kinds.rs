//! Enumerations in effects, each value with its stable name.

use crate::model::record::{ExitSource, ReleaseSource};

/// How a fact became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// Concluded from the kernel's rules and what else is known.
    #[default]
    Inferred,
    /// Found by a snapshot that repaired what a loss had left wrong.
    Repaired,
    /// Found by the snapshot at the start.
    Snapshot,
    /// Seen by a hook when it happened.
    Observed,
}

impl Provenance {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inferred => "inferred",
            Self::Repaired => "repaired",
            Self::Snapshot => "snapshot",
            Self::Observed => "observed",
        }
    }
}

/// The kernel function or tracepoint a record of death came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// See [`ExitSource`].
    Exit(ExitSource),
    /// See [`ReleaseSource`].
    Release(ReleaseSource),
}

impl Hook {
    /// The kernel's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit(ExitSource::ExitNotify) => "exit_notify",
            Self::Exit(ExitSource::ProcExitConnector) => "proc_exit_connector",
            Self::Exit(ExitSource::DoTaskDead) => "do_task_dead",
            Self::Exit(ExitSource::FinalSwitch) => "sched_switch",
            Self::Release(ReleaseSource::Entry | ReleaseSource::SecondTurn) => "release_task",
            Self::Release(ReleaseSource::Free) => "sched_process_free",
        }
    }
}

/// How a task was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Creation {
    /// fork(2), or a clone(2) that shares nothing that makes a difference to a life.
    Fork,
    /// `CLONE_VFORK`: the creator is held until this one execs or exits.
    Vfork,
    /// `CLONE_VM` without `CLONE_THREAD`: own pid, shared memory.
    Hybrid,
    /// `CLONE_THREAD`.
    Thread,
    /// By the kernel, for itself.
    Kernel,
}

impl Creation {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Hybrid => "hybrid",
            Self::Thread => "thread",
            Self::Kernel => "kernel",
        }
    }
}

/// A length of time, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Nanoseconds.
    pub ns: u64,
    /// How well.
    pub bound: Bound,
}

/// How well a length of time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Both ends were seen.
    Exact,
    /// Its beginning was not seen: it is no longer than this.
    AtMost,
    /// It began before it was looked at: it is no shorter than this.
    AtLeast,
}

impl Bound {
    /// Stable name; `None` for an exact one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Exact => None,
            Self::AtMost => Some("at_most"),
            Self::AtLeast => Some("at_least"),
        }
    }
}

/// The kind of the new parent of a reparented child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReparentKind {
    /// To another thread of the dying task's group: the parent process stays the same.
    SiblingThread,
    /// To the nearest ancestor that asked for it with `PR_SET_CHILD_SUBREAPER`.
    Subreaper,
    /// To the init of a pid namespace.
    NamespaceInit,
    /// To pid 1.
    Init,
}

impl ReparentKind {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SiblingThread => "sibling_thread",
            Self::Subreaper => "subreaper",
            Self::NamespaceInit => "pid_namespace_init",
            Self::Init => "init",
        }
    }
}

/// Who ran `release_task()`, in relation to the released task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReaperKind {
    /// Its parent, by wait(2).
    Parent,
    /// Itself, or the last thread of its group: nobody waits for it.
    Itself,
    /// Its tracer.
    Tracer,
    /// A thread of its group that exec'ed and took its place.
    DeThread,
    /// The init of its pid namespace, in its own death.
    NamespaceInit,
    /// Its dying parent, because the new parent ignores `SIGCHLD`.
    ExitingParent,
    /// Another relation; the record is kept as it is.
    Other,
}

impl ReaperKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Parent,
        Self::Itself,
        Self::Tracer,
        Self::DeThread,
        Self::NamespaceInit,
        Self::ExitingParent,
        Self::Other,
    ];

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Itself => "self",
            Self::Tracer => "tracer",
            Self::DeThread => "de_thread",
            Self::NamespaceInit => "pid_namespace_init",
            Self::ExitingParent => "dying_father",
            Self::Other => "other",
        }
    }
}
