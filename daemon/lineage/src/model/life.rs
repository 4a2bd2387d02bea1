//! Everything known about one thread group, live or dead.

pub(crate) mod before_exec;
pub(crate) mod debt;
pub(crate) mod relation;

use std::sync::Arc;

use crate::model::before_exec::BeforeExec;
use crate::model::death::{GroupDeath, JobStop};
use crate::model::debt::Debt;
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::kinds::{Creation, Provenance, ReparentKind, Span};
use crate::model::path_name::PathName;
use crate::model::record::{Comm, Namespaced};
use crate::model::relation::Reaper;
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
    /// Reaped or autoreaped, and not yet released.
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
    /// A wait(2) reaped it.
    Reaped,
    /// It was autoreaped.
    Autoreaped,
}

/// Everything known about one thread group. `None` is unknown, or has not happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Its identity.
    pub key: GroupKey,
    /// Its state, by the last record of it.
    pub state: LifeState,
    /// How its creation is known.
    pub provenance: Provenance,
    /// The kind of its leader.
    pub kind: TaskKind,
    /// Its leader's comm.
    pub name: Option<Comm>,
    /// Path of its program.
    pub executable: Option<Arc<PathName>>,
    /// The group of its last `real_parent`.
    pub parent: Option<GroupKey>,
    /// The comm of that parent's leader.
    pub parent_name: Option<Comm>,
    /// The group of its first `real_parent`, if it is another.
    pub first_parent: Option<GroupKey>,
    /// The task that called clone(2), if it is not the first parent (`CLONE_PARENT`).
    pub creator: Option<TaskRef>,
    /// Flags of clone(2).
    pub clone_flags: Option<u64>,
    /// How it was created.
    pub creation: Option<Creation>,
    /// PF_ bits of its leader.
    pub flags: Option<u32>,
    /// The signal that its parent gets when it dies.
    pub exit_signal: Option<i32>,
    /// Real and effective uid.
    pub credentials: Option<(u32, u32)>,
    /// Its cgroup's id in the v2 hierarchy.
    pub cgroup_id: Option<u64>,
    /// Its ids in its own pid namespace.
    pub namespace: Option<Namespaced>,
    /// Whether it still holds the parent that vforked it.
    pub holds_parent: bool,
    /// How often it called execve(2).
    pub execs: u32,
    /// When it last called execve(2).
    pub exec_at: Option<Ktime>,
    /// What it did before that exec, for a live process that had children then.
    pub before_exec: Option<Box<BeforeExec>>,
    /// How often its tasks changed their comm.
    pub renames: u32,
    /// The tasks that it has now, the leader included.
    pub threads: u32,
    /// Threads besides the leader, in total.
    pub threads_created: u32,
    /// The most threads besides the leader that lived at once.
    pub threads_peak: u32,
    /// The tracer of its leader.
    pub tracer: Option<TaskRef>,
    /// When its present state began.
    pub since: Ktime,
    /// When its leader died, if other threads lived on.
    pub leader_died_at: Option<Ktime>,
    /// How often it was reparented to another process.
    pub reparented: u32,
    /// When it was last reparented.
    pub reparented_at: Option<Ktime>,
    /// The kind of its last new parent.
    pub reparent_kind: Option<ReparentKind>,
    /// Its wait(2) status.
    pub status: Option<WaitStatus>,
    /// Why it ended, if the status alone does not say.
    pub death: Option<Arc<GroupDeath>>,
    /// The last signal that can have stopped it; `None` for the dead.
    pub job_stop: Option<Arc<JobStop>>,
    /// How long it was a zombie; for a present zombie, how long so far.
    pub zombie: Option<Span>,
    /// How it ended.
    pub end: Option<End>,
    /// The task that reaped it.
    pub reaper: Option<Reaper>,
    /// When it was released.
    pub released_at: Option<Ktime>,
    /// When its last task died, as the event `group_exited` shows; `None` if that was not seen.
    pub ended_at: Option<Ktime>,
    /// When it was reaped or autoreaped, as the events `reaped` and `autoreaped` show.
    pub taken_at: Option<Ktime>,
    /// The thread of its parent that forked it, and when that thread ended, if another thread of the parent has the child now.
    pub forked_by: Option<(TaskRef, Ktime)>,
    /// Its counts as a parent.
    pub debt: Option<Debt>,
    /// What its dead tasks used.
    pub usage: Option<GroupUsage>,
    /// What its dead children used.
    pub children_usage: Option<Box<ChildrenUsage>>,
}
