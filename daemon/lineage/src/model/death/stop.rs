//! A unit or container that somebody asked to stop: from the first stop signal to the last exit.

use crate::model::death::{Cause, Sender};
use crate::model::id::{GroupKey, Ktime};
use crate::model::record::{Comm, Disposition};

/// A stop of all processes of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The cgroup's id, as groups have it.
    pub cgroup_id: u64,
    /// When the first stop signal came.
    pub began: Ktime,
    /// That signal.
    pub signal: i32,
    /// Who sent it: a process of another cgroup.
    pub sender: Sender,
    /// The processes that were there then, and those that were born since, as far as there is room.
    pub members: Vec<StopMember>,
    /// Processes for which there was no room.
    pub more: u64,
    /// When the last process ended; `None` while one lives.
    pub ended: Option<Ktime>,
}

/// A process of a cgroup that stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopMember {
    /// Which.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Its parent.
    pub parent: Option<GroupKey>,
    /// The first stop signal that it was sent.
    pub asked: Option<StopRequest>,
    /// When it was sent SIGKILL by a process or by `cgroup.kill`.
    pub killed: Option<Ktime>,
    /// When its last task was dead.
    pub ended: Option<Ktime>,
    /// Why it ended.
    pub cause: Option<Cause>,
}

/// A stop signal that a process was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// When.
    pub at: Ktime,
    /// Which.
    pub signal: i32,
    /// Whether the kernel dropped it: the process ignores it, or is the init of a pid namespace and has no handler for it.
    pub is_dropped: bool,
    /// What the process does with it, where that was read.
    pub disposition: Option<Disposition>,
    /// A process of its own cgroup sent it: it was passed on.
    pub is_passed_on: bool,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// Every process ended without a SIGKILL.
    ByItself,
    /// A process was sent SIGKILL before it ended.
    Killed,
    /// A process lives.
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
    /// How it ended.
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

    /// When the first SIGKILL was sent.
    #[must_use]
    pub fn first_kill(&self) -> Option<Ktime> {
        self.members.iter().filter_map(|member| member.killed).min()
    }

    /// From the first stop signal to the last exit, ns; `None` while a process lives.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        self.ended.map(|ended| ended.since(self.began))
    }
}
