//! The stop of a unit or container: from the first stop signal to the last exit.

use crate::model::death::{Cause, Sender};
use crate::model::id::{GroupKey, Ktime};
use crate::model::record::{Comm, Disposition};

/// A stop of all processes of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The cgroup's id, as groups have it.
    pub cgroup_id: u64,
    /// When the first stop signal was sent.
    pub began: Ktime,
    /// That signal.
    pub signal: i32,
    /// The sender: a process of another cgroup.
    pub sender: Sender,
    /// The processes that the cgroup had then, and those forked since, up to a bound.
    pub members: Vec<StopMember>,
    /// The number of processes beyond the bound.
    pub more: u64,
    /// When the last process ended; `None` while one lives.
    pub ended: Option<Ktime>,
}

/// A process of a cgroup that is stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopMember {
    /// Which.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Its parent.
    pub parent: Option<GroupKey>,
    /// The first stop signal that was sent to it.
    pub asked: Option<StopRequest>,
    /// When a process or `cgroup.kill` sent it SIGKILL.
    pub killed: Option<Ktime>,
    /// When its last task died.
    pub ended: Option<Ktime>,
    /// Why it ended.
    pub cause: Option<Cause>,
}

/// A stop signal that was sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// When.
    pub at: Ktime,
    /// Which.
    pub signal: i32,
    /// Whether the kernel dropped the signal, because the process ignores it or is the init of a pid namespace without a handler
    /// for it.
    pub is_dropped: bool,
    /// The disposition of the signal, if it was read.
    pub disposition: Option<Disposition>,
    /// Whether a process of the same cgroup sent it, which passed the signal on.
    pub is_passed_on: bool,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// Every process ended without a SIGKILL.
    ByItself,
    /// SIGKILL was sent to a process before it ended.
    Killed,
    /// A process still lives.
    Unfinished,
}

impl StopOutcome {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ByItself => "by_itself",
            Self::Killed => "killed",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Stop {
    /// Returns how the stop ended.
    #[must_use]
    pub fn outcome(&self) -> StopOutcome {
        if self.members.iter().any(|member| member.killed.is_some()) {
            StopOutcome::Killed
        } else if self.ended.is_some() {
            StopOutcome::ByItself
        } else {
            StopOutcome::Unfinished
        }
    }

    /// Returns when the first SIGKILL was sent.
    #[must_use]
    pub fn first_kill(&self) -> Option<Ktime> {
        self.members.iter().filter_map(|member| member.killed).min()
    }

    /// Returns the time from the first stop signal to the last exit, ns; `None` while a process lives.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        self.ended.map(|ended| ended.since(self.began))
    }
}
