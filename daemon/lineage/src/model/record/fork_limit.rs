//! Failed forks, and the limits that refused them.

use std::sync::Arc;

use crate::model::id::Ktime;

/// Forks of one process that failed lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkFailures {
    /// How many failed. After a minute without a failure the count starts again.
    pub count: u64,
    /// When the first of these forks failed.
    pub first: Ktime,
    /// When the last of them failed.
    pub last: Ktime,
    /// The error of the last failure: `EAGAIN` or `ENOMEM`.
    pub errno: i32,
    /// The limit that was full at the last failure, if one was found.
    pub by: Option<Arc<ForkLimit>>,
    /// Whether the limits were read for the last failure. If many forks fail, they are read only for some.
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
