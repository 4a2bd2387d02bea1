//! Why a thread group ended: the cause, the signals, and what is missing.

mod cause;
mod oom;
mod sent;
mod stop;

pub use self::cause::{Cause, Missing};
pub use self::oom::{HostMemory, OomCgroup, OomLimit, OomMark, OomScope};
pub use self::sent::{Ancestor, Sender, Sent};
pub use self::stop::{Stop, StopMember, StopOutcome, StopRequest};

use crate::model::id::{GroupKey, Ktime};
use crate::model::record::Comm;
use crate::model::status::WaitStatus;

/// Nothing else looks the same.
pub const CERTAIN: &str = "certain";
/// One fact is missing.
pub const LIKELY: &str = "likely";
/// Nothing is known of the cause.
pub const UNKNOWN: &str = "unknown";

/// Why a thread group ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDeath {
    /// Which.
    pub key: GroupKey,
    /// When its last task was dead.
    pub at: Ktime,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Its parent then.
    pub parent: Option<GroupKey>,
    /// That one's comm.
    pub parent_name: Option<Comm>,
    /// Its real uid.
    pub uid: Option<u32>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Its parent was in another cgroup: it was at the top of its unit or container.
    pub is_top: bool,
    /// What wait(2) says of it.
    pub status: Option<WaitStatus>,
    /// The cause.
    pub cause: Cause,
    /// Without this fact the cause is likely, not certain; of an unknown one it is the reason.
    pub missing: Option<Missing>,
    /// The signal that ended it.
    pub by: Option<Sent>,
    /// Other signals that it was sent, oldest first.
    pub others: Vec<Sent>,
    /// The out-of-memory killer's choice.
    pub oom: Option<OomMark>,
}

impl GroupDeath {
    /// Whether nothing else looks the same.
    #[must_use]
    pub const fn certainty(&self) -> &'static str {
        match (self.cause, self.missing) {
            (Cause::Unknown, _) => UNKNOWN,
            (_, None) => CERTAIN,
            (_, Some(_)) => LIKELY,
        }
    }
}

/// Which signals are seen, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Since when they are seen; `None`: they are not.
    pub since: Option<Ktime>,
    /// Bit N - 1 for each signal N that is reported.
    pub signals: u32,
    /// Whether victims of the out-of-memory killer are reported.
    pub oom: bool,
    /// Records of signals were lost or shed until then.
    pub lost_until: Ktime,
}

impl Watch {
    pub(crate) fn watches(&self, signal: i32) -> bool {
        let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1)).filter(|bit| *bit < 32);
        bit.is_some_and(|bit| self.signals >> bit & 1 != 0)
    }
}
