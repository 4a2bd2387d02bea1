//! A scope: the cgroup of a unit, container or session, from the first task in it to the last.

use std::sync::Arc;

use crate::model::comm::Comm;
use crate::model::death::GroupDeath;
use crate::model::id::{GroupKey, Ktime, TaskRef};

/// The bit that marks a task's cgroup as a pair of ids: `CgroupPair` of the wire format.
const PAIR: u64 = 1 << 63;

/// What happened to a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupChange {
    /// Its directory was created.
    Made,
    /// Its directory was removed.
    Removed,
    /// It, or a cgroup below it, got its first task.
    Populated,
    /// It and the cgroups below it lost their last task.
    Emptied,
}

/// A cgroup was created, removed, populated or emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupChanged {
    /// Its id: that of the v2 hierarchy, or that of the v1 controller as the pair with 0.
    pub cgroup_id: u64,
    /// Id of the cgroup above it, in the same form.
    pub parent_id: Option<u64>,
    /// What happened.
    pub change: CgroupChange,
    /// The task that ran then.
    pub actor: Option<TaskRef>,
    /// The actor's PF_ bits.
    pub actor_flags: Option<u32>,
    /// Name of its directory; `None` where it could not be read whole.
    pub name: Option<Arc<str>>,
}

/// The ids of the cgroups that a task's cgroup number stands for: in the v2 hierarchy, and in that of the v1 controller.
pub(crate) const fn hierarchies(cgroup_id: u64) -> (u64, Option<u64>) {
    if cgroup_id & PAIR == 0 {
        (cgroup_id, None)
    } else {
        (cgroup_id & 0xffff_ffff, Some(cgroup_id & !0xffff_ffff))
    }
}

/// A process of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeMember {
    /// Which.
    pub key: GroupKey,
    /// Its leader's comm.
    pub name: Option<Comm>,
}

/// How the last task left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeEnd {
    /// It ended.
    Exited,
    /// It was moved to another cgroup.
    Moved,
    /// That was not seen.
    Unknown,
}

impl ScopeEnd {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Moved => "moved",
            Self::Unknown => "unknown",
        }
    }
}

/// A cgroup from its first task to its last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The cgroup's id.
    pub cgroup_id: u64,
    /// That of the cgroup above it.
    pub parent_id: Option<u64>,
    /// Name of its directory.
    pub name: Option<Arc<str>>,
    /// When its directory was made, and by which process.
    pub made: Option<(Ktime, Option<ScopeMember>)>,
    /// When the first task came; `None` where that was before taskscope or was lost.
    pub began: Option<Ktime>,
    /// The process that came first.
    pub first: Option<ScopeMember>,
    /// When the last task left.
    pub ended: Option<Ktime>,
    /// How the last task left.
    pub end: Option<ScopeEnd>,
    /// The process that left last.
    pub last: Option<ScopeMember>,
    /// The first death of a process in it that led to the end: it exited with a code other than 0 or by a signal, and no process
    /// began more than a second after that.
    pub first_death: Option<Arc<GroupDeath>>,
    /// How many times a cgroup of this name was seen to begin below the same parent, this time included; 0 if no beginning was
    /// seen.
    pub starts: u32,
    /// How long it was empty before this beginning, ns, if it had begun before.
    pub empty_ns: Option<u64>,
    /// When its directory was removed.
    pub removed: Option<Ktime>,
}

impl Scope {
    /// Returns the time from the first task to the last, ns; `None` if the beginning or the end was not seen.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        Some(self.ended?.since(self.began?))
    }
}

/// The name of a new cgroup, for callers that look up cgroups by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupName {
    /// Its id.
    pub cgroup_id: u64,
    /// That of the cgroup above it.
    pub parent_id: u64,
    /// Name of its directory.
    pub name: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::hierarchies;

    #[test]
    fn a_pair_is_two_cgroups() {
        assert_eq!(hierarchies(77), (77, None));
        let controller = PAIR_OF_5;
        assert_eq!(hierarchies(controller | 9), (9, Some(controller)));
    }

    const PAIR_OF_5: u64 = 1 << 63 | 5 << 32;
}
