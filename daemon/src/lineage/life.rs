//! The life of a thread group: all that is known of it, live or dead.

use std::sync::Arc;

use super::Lineage;
use super::arena::Ix;
use super::death::GroupDeath;
use super::debt::Debt;
use super::effect::{Creation, Provenance, Reaper, ReparentKind, Span};
use super::group::{Extra, Group, fact};
use super::id::{GroupKey, Ktime, TaskRef};
use super::paths::PathName;
use super::record::{Comm, Namespaced};
use super::status::WaitStatus;
use super::task::{Queue, TaskKind, TaskState, known};
use super::usage::{ChildrenUsage, GroupUsage};

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
    /// Its account as a parent.
    pub debt: Option<Debt>,
    /// Accounting of those of its tasks that are dead.
    pub usage: Option<GroupUsage>,
    /// What its dead children used.
    pub children_usage: Option<Box<ChildrenUsage>>,
}

impl Lineage {
    /// Puts together what is known of a group. `now` is what a zombie's age is measured against.
    pub(super) fn life_of_group(&self, ix: Ix<Group>, now: Ktime) -> Option<Life> {
        let group = &self.groups[ix];
        let leader_ix = group.leader?;
        let leader = &self.tasks[leader_ix];
        let none = Extra::default();
        let extra = self.extra_of(group).unwrap_or(&none);
        let rare = self.rare_of(group);
        let profile = self.profiles.get(group.profile);
        let (reaper, was_zombie) = self.taken_of(ix);
        let is_zombie = matches!(leader.queue, Queue::Zombie | Queue::Flagged | Queue::Unconfirmed);
        let state = match leader.state {
            TaskState::Implied | TaskState::Running => LifeState::Running,
            TaskState::Exiting => LifeState::Exiting,
            TaskState::Zombie if group.has(fact::DEAD_LEADER) => LifeState::DeadLeader,
            TaskState::Zombie => LifeState::Zombie,
            TaskState::Dead => LifeState::Dead,
            TaskState::Released => LifeState::Released,
        };
        let flags = leader.knows(known::FLAGS).then_some(leader.flags);
        let clone_flags = group.has(fact::CLONE_FLAGS).then_some(profile.clone_flags);
        let zombie = if is_zombie { Some(self.zombie_span(leader_ix, now)) } else { was_zombie };
        Some(Life {
            key: group.key(),
            state,
            provenance: leader.provenance,
            kind: leader.kind(true),
            name: leader.knows(known::COMM).then_some(leader.comm),
            executable: group.executable.clone(),
            parent: group.parent_key(),
            parent_name: self.parent_name(group),
            first_parent: extra.first_parent(),
            creator: rare.and_then(|rare| rare.creator),
            clone_flags,
            creation: clone_flags.map(|clone| Creation::of(clone, leader.flags)),
            flags,
            exit_signal: group.has(fact::EXIT_SIGNAL).then_some(group.exit_signal),
            credentials: group.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            cgroup_id: self.cgroup_of(group),
            namespace: self.namespace_of(group, leader),
            holds_parent: group.has(fact::HOLDS_PARENT),
            execs: group.execs,
            exec_at: (group.execs > 0).then_some(group.exec_at),
            renames: extra.renames,
            threads: group.present,
            threads_created: extra.threads_created,
            threads_peak: extra.threads_peak,
            tracer: rare.and_then(|rare| rare.tracer),
            since: leader.since,
            leader_died_at: extra.leader_died_at(),
            reparented: extra.reparented,
            reparented_at: (extra.reparented > 0).then_some(extra.reparented_at),
            reparent_kind: extra.reparent_kind,
            status: group.status().settled(group.is_dead()),
            death: self.deaths.of(group.key()).cloned(),
            zombie,
            end: group.end(),
            reaper,
            released_at: (state == LifeState::Released).then_some(leader.since),
            debt: group.debt.map(|debt| self.debts[debt].debt),
            usage: self.group_usage(ix),
            children_usage: self.children_usage(ix).map(Box::new),
        })
    }

    /// Of a parent that is gone, too: who was taken by it may be let go of later.
    pub(super) fn parent_name(&self, group: &Group) -> Option<Comm> {
        if let Some(parent) = group.parent {
            return self.process_name(parent);
        }
        self.name_by_key(group.parent_key()?)
    }
}
