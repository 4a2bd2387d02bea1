//! The out-of-memory killer's choice, and the memory limit that was reached.

use crate::model::comm::Comm;
use crate::model::id::{Ktime, TaskRef};

/// The out-of-memory killer has chosen a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomMark {
    /// When.
    pub at: Ktime,
    /// The task that was allocating memory.
    pub trigger: Option<TaskRef>,
    /// Its comm.
    pub trigger_name: Option<Comm>,
    /// Its cgroup's id in the v2 hierarchy.
    pub trigger_cgroup_id: Option<u64>,
    /// The memory limit that was reached.
    pub limit: Option<Box<OomLimit>>,
}

/// The kind of memory limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomScope {
    /// The memory of the host, or of the NUMA nodes that the trigger may use.
    Host,
    /// The limit of a memory cgroup.
    Cgroup,
}

impl OomScope {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Cgroup => "cgroup",
        }
    }
}

/// The memory limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomLimit {
    /// Whether the host or a memory cgroup has the limit.
    pub scope: OomScope,
    /// Whether the kernel names the limit (`oom_control.memcg`). Otherwise the limit is concluded from the usage of the trigger's
    /// memory cgroups.
    pub is_certain: bool,
    /// The cgroup's id in the hierarchy of the memory controller.
    pub cgroup_id: Option<u64>,
    /// The name of the cgroup's directory.
    pub cgroup_name: Option<String>,
    /// Its limit in bytes; `None` if it has none, so that its limit on memory and swap together was reached.
    pub limit_bytes: Option<u64>,
    /// The bytes that were charged to it at that time.
    pub used_bytes: Option<u64>,
    /// The contents of its files; `None` if the cgroup was not found.
    pub cgroup: Option<OomCgroup>,
    /// The host's memory, read when the choice became known.
    pub host: Option<HostMemory>,
}

/// A memory cgroup, read from its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomCgroup {
    /// Path below the root of the hierarchy, with a leading slash.
    pub path: String,
    /// Whether it is in a v1 hierarchy.
    pub is_v1: bool,
    /// Whether the killer ends all of its processes together (`memory.oom.group`).
    pub kills_group: bool,
    /// Its victims so far: `oom_kill` of `memory.events` (v2, descendants included) or of `memory.oom_control` (v1, without
    /// descendants).
    pub victims: Option<u64>,
}

/// Memory of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// Total memory, bytes.
    pub total_bytes: u64,
    /// Total swap, bytes.
    pub swap_bytes: u64,
    /// Free swap, bytes.
    pub swap_free_bytes: u64,
}
