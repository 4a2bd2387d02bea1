//! Why a thread group ended: the cause, the signals, and what is missing.

mod cause;
mod job_stop;
mod oom;
mod sent;
mod stop;

pub use self::cause::{Cause, Missing};
pub use self::job_stop::{JobStop, StopReason};
pub use self::oom::{HostMemory, OomCgroup, OomLimit, OomMark, OomScope};
pub use self::sent::{Ancestor, Received, Sender, Sent};
pub use self::stop::{Stop, StopMember, StopOutcome, StopRequest};

use std::sync::Arc;

use crate::model::comm::Comm;
use crate::model::id::{GroupKey, Ktime, TaskRef, Tgid};
use crate::model::path_name::PathName;
use crate::model::status::WaitStatus;

/// The certainty of a cause that alone explains the evidence.
pub const CERTAIN: &str = "certain";
/// The certainty of a cause for which one fact is missing.
pub const LIKELY: &str = "likely";
/// The certainty if no cause is known.
pub const UNKNOWN: &str = "unknown";

/// Why a thread group ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDeath {
    /// The group.
    pub key: GroupKey,
    /// When its last task died.
    pub at: Ktime,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Its parent at that time.
    pub parent: Option<GroupKey>,
    /// The comm of that parent's leader.
    pub parent_name: Option<Comm>,
    /// Its real uid.
    pub uid: Option<u32>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Whether its parent was in another cgroup, so that it was at the top of its unit or container.
    pub is_top: bool,
    /// The name of its cgroup, if `is_top`, which stays the same when the unit is started again.
    pub scope: Option<ScopeName>,
    /// Path of its program.
    pub executable: Option<Arc<PathName>>,
    /// Children that its parent had forked by then.
    pub parent_forked: Option<u64>,
    /// Its wait(2) status.
    pub status: Option<WaitStatus>,
    /// The cause.
    pub cause: Cause,
    /// The fact without which the cause is likely and not certain, or not known at all.
    pub missing: Option<Missing>,
    /// The signal that ended it.
    pub by: Option<Sent>,
    /// Other signals that were sent to it, oldest first.
    pub others: Vec<Sent>,
    /// The process that traced it, with its name.
    pub tracer: Option<(TaskRef, Option<Comm>)>,
    /// The out-of-memory killer's choice.
    pub oom: Option<OomMark>,
}

/// What identifies the cgroup of a unit across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopeName {
    /// The id of the cgroup above it; the cgroup's own id if its name is not known.
    pub cgroup_id: u64,
    /// The name of its directory.
    pub name: Option<Arc<str>>,
}

impl GroupDeath {
    /// Returns whether the process was not meant to end: a fault, a limit, or a code other than 0.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self.cause {
            Cause::Fault
            | Cause::Abort
            | Cause::Seccomp
            | Cause::Oom
            | Cause::FailedExec
            | Cause::CpuLimit
            | Cause::RealTimeLimit
            | Cause::FileSizeLimit
            | Cause::KilledByItself => true,
            Cause::Exited => self.status.is_some_and(|status| status.code() != Some(0)),
            _ => false,
        }
    }

    /// Returns whether the out-of-memory killer ended it, or a signal from a process in another cgroup, such as that of another unit.
    /// Signals from init are not counted: systemd stops units by them.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        match self.cause {
            Cause::Oom => true,
            Cause::Killed | Cause::Escalation => {
                let from = self.by.as_ref().and_then(|by| by.sender.cgroup_id);
                let is_init =
                    self.by.as_ref().and_then(|by| by.sender.task).is_some_and(|task| task.tgid == Tgid(1));
                !is_init && from.is_some() && self.cgroup_id.is_some() && from != self.cgroup_id
            }
            _ => false,
        }
    }

    /// Returns how certain the cause is: `certain`, `likely` or `unknown`.
    #[must_use]
    pub const fn certainty(&self) -> &'static str {
        match (self.cause, self.missing) {
            (Cause::Unknown, _) => UNKNOWN,
            (_, None) => CERTAIN,
            (_, Some(_)) => LIKELY,
        }
    }
}

/// Which signals the records report, and from which time on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Since when records report signals; `None` if they do not.
    pub since: Option<Ktime>,
    /// Bit N - 1 is set if signal N is reported.
    pub signals: u32,
    /// Whether records report victims of the out-of-memory killer.
    pub oom: bool,
    /// Until when records of signals were lost or shed.
    pub lost_until: Ktime,
}

impl Watch {
    pub(crate) fn watches(&self, signal: i32) -> bool {
        let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1)).filter(|bit| *bit < 32);
        bit.is_some_and(|bit| self.signals >> bit & 1 != 0)
    }
}
