//! The life of a thread group: all that is known of it, live or dead.

use std::sync::Arc;

use crate::model::before_exec::BeforeExec;
use crate::model::death::GroupDeath;
use crate::model::debt::Debt;
use crate::model::effect::Reaper;
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::kinds::{Creation, Provenance, ReparentKind, Span};
use crate::model::path_name::PathName;
use crate::model::record::{Comm, Namespaced};
use crate::model::status::WaitStatus;
use crate::model::task::TaskKind;
use crate::model::usage::{ChildrenUsage, GroupUsage};

/// Where a thread group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifeState {
    /// Its leader lives.
    Running,
    /// Its leader is in `do_exit()`.
    Exiting,
    /// Its leader is dead, other threads are not: no wait can reap it.
    DeadLeader,
    /// Only a wait(2) is missing.
    Zombie,
    /// Let go, and not yet released.
    Dead,
    /// Its tid is free.
    Released,
}

impl LifeState {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Exiting => "exiting",
            Self::DeadLeader => "dead_leader",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Released => "released",
        }
    }
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Somebody took it.
    Reaped,
    /// Nobody had to.
    Autoreaped,
}

/// Everything known about one thread group. `None` is unknown, or has not happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Which.
    pub key: GroupKey,
    /// Where in its life it is, or was when it was last heard of.
    pub state: LifeState,
    /// How its beginning is known.
    pub provenance: Provenance,
    /// What its leader is.
    pub kind: TaskKind,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Path of its program.
    pub executable: Option<Arc<PathName>>,
    /// Group of its `real_parent`, at last.
    pub parent: Option<GroupKey>,
    /// That one's comm.
    pub parent_name: Option<Comm>,
    /// Group of its first `real_parent`, where that is another.
    pub first_parent: Option<GroupKey>,
    /// Who called clone(2), where that is not the first parent: `CLONE_PARENT`.
    pub creator: Option<TaskRef>,
    /// Flags of clone(2).
    pub clone_flags: Option<u64>,
    /// How it was made.
    pub creation: Option<Creation>,
    /// PF_ bits of its leader.
    pub flags: Option<u32>,
    /// Signal for its parent at its death.
    pub exit_signal: Option<i32>,
    /// Real and effective uid.
    pub credentials: Option<(u32, u32)>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Its ids in its own pid namespace.
    pub namespace: Option<Namespaced>,
    /// Whether it still holds the parent that vforked it.
    pub holds_parent: bool,
    /// Execs, and when the last was.
    pub execs: u32,
    /// Last exec.
    pub exec_at: Option<Ktime>,
    /// What it did before that, where it had children then; of a live process only.
    pub before_exec: Option<Box<BeforeExec>>,
    /// Times its tasks changed their comm.
    pub renames: u32,
    /// Tasks it has now, the leader included.
    pub threads: u32,
    /// Threads besides the leader, ever.
    pub threads_created: u32,
    /// Threads besides the leader, at most at once.
    pub threads_peak: u32,
    /// Who traces its leader.
    pub tracer: Option<TaskRef>,
    /// When its present state began.
    pub since: Ktime,
    /// When its leader died, where others lived on.
    pub leader_died_at: Option<Ktime>,
    /// How often it was handed to another process, when last, and to what.
    pub reparented: u32,
    /// Last reparenting.
    pub reparented_at: Option<Ktime>,
    /// To what that was.
    pub reparent_kind: Option<ReparentKind>,
    /// What wait(2) says of it.
    pub status: Option<WaitStatus>,
    /// Why it ended, where its status alone does not say.
    pub death: Option<Arc<GroupDeath>>,
    /// For how long it was a zombie; of one that is a zombie now, so far.
    pub zombie: Option<Span>,
    /// How it ended.
    pub end: Option<End>,
    /// Who took it.
    pub reaper: Option<Reaper>,
    /// When it was released.
    pub released_at: Option<Ktime>,
    /// When its last task died, as `group_exited` says, where that was seen.
    pub ended_at: Option<Ktime>,
    /// When somebody took it, or it went by itself, as `reaped` and `autoreaped` say.
    pub taken_at: Option<Ktime>,
    /// The thread of its parent that forked it, and when that ended: another thread of the parent has the child since.
    pub forked_by: Option<(TaskRef, Ktime)>,
    /// Its account as a parent.
    pub debt: Option<Debt>,
    /// Accounting of those of its tasks that are dead.
    pub usage: Option<GroupUsage>,
    /// What its dead children used.
    pub children_usage: Option<Box<ChildrenUsage>>,
}
