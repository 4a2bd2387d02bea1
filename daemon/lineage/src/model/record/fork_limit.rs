//! Failed forks, and the limits that refused them.

use std::sync::Arc;

use crate::model::id::Ktime;

/// Forks of one process that failed lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkFailures {
    /// How many, without those that came longer than a minute after the one before.
    pub count: u64,
    /// The first of these, and the last.
    pub first: Ktime,
    /// See [`Self::first`].
    pub last: Ktime,
    /// The error of the last: `EAGAIN` or `ENOMEM`.
    pub errno: i32,
    /// The limit that was full at the last, if one was found.
    pub by: Option<Arc<ForkLimit>>,
    /// Whether the limits were read at the last: not in a storm of failures.
    pub is_read: bool,
}

/// A limit that was full when the record of a failed fork arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkLimit {
    /// Which.
    pub kind: ForkLimitKind,
    /// The cgroup's path, the uid, or the pid namespace's inode number; empty for the host's.
    pub name: String,
    /// Tasks that count against the limit; `None` if that is not known.
    pub used: Option<u64>,
    /// The limit; `None` if it is not a number.
    pub limit: Option<u64>,
}

/// Limits that can refuse a fork, in the order in which `copy_process()` checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkLimitKind {
    /// `RLIMIT_NPROC` of a user.
    RlimitNproc,
    /// `kernel.threads-max`.
    ThreadsMax,
    /// `pids.max` of a cgroup.
    Cgroup,
    /// `kernel.pid_max`.
    PidMax,
    /// The init of the pid namespace has ended.
    PidNamespace,
}

impl ForkLimitKind {
    /// Returns the stable code, as in `/v1/limits`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RlimitNproc => "rlimit_nproc",
            Self::ThreadsMax => "threads_max",
            Self::Cgroup => "cgroup",
            Self::PidMax => "pid_max",
            Self::PidNamespace => "pid_namespace",
        }
    }
}
