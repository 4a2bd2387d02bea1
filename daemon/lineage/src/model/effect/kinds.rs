//! Enumerations in effects, each value with its stable name.

use crate::model::record::{ExitSource, ReleaseSource};

/// How a fact became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// Concluded from the kernel's rules and other facts.
    #[default]
    Inferred,
    /// Found by a snapshot that repaired the tree after a loss.
    Repaired,
    /// Found by the snapshot at the start.
    Snapshot,
    /// Reported by a hook when it happened.
    Observed,
}

impl Provenance {
    /// Returns the stable name.
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

/// The kernel function or tracepoint that a record of a death or a release comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// See [`ExitSource`].
    Exit(ExitSource),
    /// See [`ReleaseSource`].
    Release(ReleaseSource),
}

impl Hook {
    /// Returns the kernel's name of the function or tracepoint.
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

/// How a task was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Creation {
    /// fork(2), or a clone(2) without `CLONE_VM`, `CLONE_VFORK` and `CLONE_THREAD`.
    Fork,
    /// `CLONE_VFORK`: the creator waits until this task calls execve(2) or exits.
    Vfork,
    /// `CLONE_VM` without `CLONE_THREAD`: own pid, shared memory.
    Hybrid,
    /// `CLONE_THREAD`.
    Thread,
    /// By the kernel: a kernel thread.
    Kernel,
}

impl Creation {
    /// Returns the stable name.
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
    /// Both ends were seen, so the time is exact.
    Exact,
    /// The beginning was not seen; the time is at most this.
    AtMost,
    /// It began before the first poll; the time is at least this.
    AtLeast,
}

impl Bound {
    /// Returns the stable name; `None` for an exact time.
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
    /// Another thread of the exiting task's group; the parent process stays the same.
    SiblingThread,
    /// The nearest ancestor that is a subreaper (`PR_SET_CHILD_SUBREAPER`).
    Subreaper,
    /// The init of a pid namespace.
    NamespaceInit,
    /// Pid 1.
    Init,
}

impl ReparentKind {
    /// Returns the stable name.
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

/// The relation of the task that ran `release_task()` to the released task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReaperKind {
    /// Its parent, by wait(2).
    Parent,
    /// Itself, or the last thread of its group, because no wait(2) is needed.
    Itself,
    /// Its tracer.
    Tracer,
    /// A thread of its group that called execve(2) and took its place.
    DeThread,
    /// The init of its pid namespace, during its own exit (`zap_pid_ns_processes()`).
    NamespaceInit,
    /// Its exiting parent, because the new parent ignores `SIGCHLD` (`reparent_leader()`).
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

    /// Returns the stable name.
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
