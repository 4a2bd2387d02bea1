//! Forks of a process that failed recently: as JSON, and what follows from them if no limit is full.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::{
    lineage::{
        id::Ktime,
        record::{ForkFailures, ForkLimit},
    },
    verdict::duration,
};

/// `EAGAIN`, by which limits refuse a fork.
const EAGAIN: i32 = 11;

/// Forks of a process that failed, with less than a minute between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedForks {
    /// How many.
    pub count: u64,
    /// `CLOCK_BOOTTIME` of the first and of the last, ns.
    pub first_boottime_ns: u64,
    /// See [`Self::first_boottime_ns`].
    pub last_boottime_ns: u64,
    /// Error of the last.
    pub errno: i32,
    /// The kind of the limit that was full at the last failure, as in `limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// Whether no limit was full at the last failure, although all that are visible from outside were read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unexplained: bool,
}

impl FailedForks {
    pub(super) fn of(failures: &ForkFailures) -> Self {
        Self {
            count: failures.count,
            first_boottime_ns: failures.first.0,
            last_boottime_ns: failures.last.0,
            errno: failures.errno,
            refused_by: failures.by.as_ref().map(|limit| limit.kind.code().into()),
            unexplained: failures.is_read && failures.by.is_none(),
        }
    }

    /// Returns what a client needs of it to derive the verdict again; only the daemon's answer has the limit.
    pub(crate) fn recall(&self) -> ForkFailures {
        ForkFailures {
            count: self.count,
            first: Ktime(self.first_boottime_ns),
            last: Ktime(self.last_boottime_ns),
            errno: self.errno,
            by: None::<Arc<ForkLimit>>,
            is_read: self.unexplained,
        }
    }
}

/// The failed forks that an answer about limits is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) forks: ForkFailures,
    pub(super) now: Ktime,
    /// The pid namespace of the process, if that is not the host's, and the tasks in it.
    pub(super) nested: Option<(u32, u64)>,
}

impl Limits {
    /// Whether the failed forks can only be explained by a limit that is not visible from outside: `kernel.pid_max` of its pid
    /// namespace.
    pub(in crate::answer) fn pid_max_is_left(&self) -> bool {
        let is_full = self.limits.iter().any(|limit| limit.full);
        let Some(failures) = self.failures.as_ref().filter(|_| !is_full) else { return false };
        let ForkFailures { errno, is_read, by, .. } = &failures.forks;
        failures.nested.is_some() && *errno == EAGAIN && *is_read && by.is_none()
    }

    /// The failed forks in a sentence.
    pub(super) fn failed_forks(&self) -> Option<String> {
        let Failures { forks: failures, now, .. } = self.failures.as_ref()?;
        let forks = if failures.count == 1 {
            "1 of its forks".into()
        } else {
            format!("{} of its forks", failures.count)
        };
        let errno = if failures.errno == EAGAIN { "EAGAIN" } else { "ENOMEM" };
        let span = duration(now.since(failures.first));
        Some(format!(
            "{forks} failed with {errno} in the last {span}, the last {} ago",
            duration(now.since(failures.last))
        ))
    }

    /// The tasks of its pid namespace in a sentence.
    pub(super) fn tasks_of_namespace(&self) -> Option<String> {
        let (inode, tasks) = self.failures.as_ref()?.nested?;
        Some(format!("{tasks} tasks are in its pid namespace, {inode}"))
    }
}
