//! The out-of-memory killer's choice, and the limit that it met.

use crate::model::id::{Ktime, TaskRef};
use crate::model::record::Comm;

/// The out-of-memory killer has chosen a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomMark {
    /// When.
    pub at: Ktime,
    /// The task that asked for memory.
    pub trigger: Option<TaskRef>,
    /// Its comm.
    pub trigger_name: Option<Comm>,
    /// The limit that was met.
    pub limit: Option<Box<OomLimit>>,
}

/// Whose limit on memory was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomScope {
    /// The host's, or that of the memory nodes that the trigger may use.
    Host,
    /// A memory cgroup's.
    Cgroup,
}

impl OomScope {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Cgroup => "cgroup",
        }
    }
}

/// The limit that the out-of-memory killer met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomLimit {
    /// Whose.
    pub scope: OomScope,
    /// The kernel says it (`oom_control.memcg`); else it is taken from the use of the trigger's memory cgroups.
    pub is_certain: bool,
    /// The cgroup's id in the hierarchy of the memory controller.
    pub cgroup_id: Option<u64>,
    /// Name of its directory.
    pub cgroup_name: Option<String>,
    /// Its limit in bytes; `None` where it has none: the limit on memory and swap together was met then.
    pub limit_bytes: Option<u64>,
    /// Bytes charged to it then.
    pub used_bytes: Option<u64>,
    /// What its files say, where it was found.
    pub cgroup: Option<OomCgroup>,
    /// The host's memory, read when the choice became known.
    pub host: Option<HostMemory>,
}

/// A memory cgroup as its files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomCgroup {
    /// Path below the root of the hierarchy, with a leading slash.
    pub path: String,
    /// In a v1 hierarchy.
    pub is_v1: bool,
    /// All of its processes are ended together: `memory.oom.group`.
    pub kills_group: bool,
    /// Its victims so far: `oom_kill` of `memory.events` (v2, with those below) or `memory.oom_control` (v1, its own).
    pub victims: Option<u64>,
}

/// Memory of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// Of all.
    pub total_bytes: u64,
    /// Swap.
    pub swap_bytes: u64,
    /// Swap that is free.
    pub swap_free_bytes: u64,
}
