//! A life that is over, as it is remembered: 176 bytes, and more only for what few lives have.

use std::sync::Arc;

use super::Lineage;
use super::arena::Ix;
use super::debt::Debt;
use super::effect::{Bound, Creation, Provenance, Reaper, ReaperKind, ReparentKind, Span};
use super::group::{Group, fact};
use super::id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid};
use super::life::{End, Life, LifeState};
use super::packed_usage::PackedUsage;
use super::paths::PathName;
use super::profile::ProfileIx;
use super::record::{Comm, Namespaced};
use super::status::WaitStatus;
use super::task::{TaskKind, known};
use super::usage::ChildrenUsage;

/// A life that is over. [`Lineage::life_of_dead`] makes a [`Life`] of it.
#[derive(Debug)]
pub(super) struct DeadLife {
    start: Ktime,
    /// When it was released.
    pub(super) since: Ktime,
    parent_start: Ktime,
    exec_at: Ktime,
    zombie_ns: u64,
    pub(super) executable: Option<Arc<PathName>>,
    pub(super) usage: PackedUsage,
    pub(super) side: Option<Box<Side>>,
    name: Comm,
    parent_name: Comm,
    pub(super) tgid: u32,
    parent_tgid: u32,
    vtid: u32,
    flags: u32,
    status: i32,
    exit_signal: i32,
    execs: u32,
    pub(super) profile: ProfileIx,
    facts: u32,
    /// How many lives ago another had the same tgid; 0 if none did.
    pub(super) older: u32,
    /// Of its leader: [`known`].
    known: u16,
    provenance: Provenance,
    zombie: ZombieForm,
    reaper: ReaperForm,
    has_status: bool,
    has_parent_name: bool,
}

const _: () = assert!(size_of::<DeadLife>() == 176, "remembered lives are budgeted: see tests/memory.rs");

/// What few lives have.
#[derive(Debug, Default)]
pub(super) struct Side {
    debt: Option<Debt>,
    children: Option<Box<ChildrenUsage>>,
    story: Option<Box<Story>>,
}

/// What fewer have.
#[derive(Debug, Default)]
struct Story {
    reaper: Option<Reaper>,
    first_parent: Option<GroupKey>,
    creator: Option<TaskRef>,
    tracer: Option<TaskRef>,
    leader_died_at: Option<Ktime>,
    reparented_at: Ktime,
    reparent_kind: Option<ReparentKind>,
    reparented: u32,
    renames: u32,
    threads_created: u32,
    threads_peak: u32,
}

/// Whether it was a zombie, and how its time as one is known.
#[derive(Clone, Copy, Debug)]
enum ZombieForm {
    None,
    Span(Bound),
}

/// Who took it.
#[derive(Clone, Copy, Debug)]
enum ReaperForm {
    /// Unknown, or nobody had to.
    None,
    /// The main thread of its parent.
    Parent,
    /// Its parent, by the kernel's rule.
    ParentByRule,
    /// See [`Story::reaper`].
    Told,
}

/// What the allocator adds to each piece of memory.
const OVERHEAD: usize = 16;

impl Side {
    /// Bytes it takes.
    fn bytes(&self) -> usize {
        let children = self.children.as_ref().map_or(0, |_| size_of::<ChildrenUsage>() + OVERHEAD);
        let story = self.story.as_ref().map_or(0, |_| size_of::<Story>() + OVERHEAD);
        size_of::<Self>() + OVERHEAD + children + story
    }

    pub(super) fn children(&mut self) -> &mut ChildrenUsage {
        self.children.get_or_insert_default()
    }
}

impl DeadLife {
    pub(super) const fn has(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    /// Its identity.
    pub(super) fn key(&self) -> GroupKey {
        GroupKey { tgid: Tgid(self.tgid), start: self.has(fact::START).then_some(self.start) }
    }

    fn parent(&self) -> Option<GroupKey> {
        let start = self.has(fact::PARENT_START).then_some(self.parent_start);
        self.has(fact::PARENT).then_some(GroupKey { tgid: Tgid(self.parent_tgid), start })
    }

    /// Its leader's comm.
    pub(super) fn name(&self) -> Option<Comm> {
        (self.known & known::COMM != 0).then_some(self.name)
    }

    fn parent_name(&self) -> Option<Comm> {
        self.has_parent_name.then_some(self.parent_name)
    }

    /// Takes over what its group held.
    pub(super) fn with(
        self,
        executable: Option<Arc<PathName>>,
        profile: ProfileIx,
        usage: PackedUsage,
    ) -> Self {
        Self { executable, usage, profile, ..self }
    }

    /// Bytes it takes besides its own.
    pub(super) fn side_bytes(&self) -> usize {
        self.side.as_ref().map_or(0, |side| side.bytes())
    }

    fn reaper(&self) -> Option<Reaper> {
        match self.reaper {
            ReaperForm::None => None,
            ReaperForm::Parent => by_parent(self.parent()?, self.parent_name(), true),
            ReaperForm::ParentByRule => by_parent(self.parent()?, self.parent_name(), false),
            ReaperForm::Told => self.side.as_ref()?.story.as_ref()?.reaper,
        }
    }
}

/// The reaper that most lives have.
fn by_parent(parent: GroupKey, name: Option<Comm>, is_seen: bool) -> Option<Reaper> {
    let task = if is_seen {
        let key = TaskKey { tid: parent.tgid.leader(), start: parent.start? };
        Some(TaskRef { key, tgid: parent.tgid })
    } else {
        None
    };
    Some(Reaper { task, process: parent, name, kind: ReaperKind::Parent })
}

impl Lineage {
    /// What is remembered of a group that goes now. What the group itself holds is added by [`DeadLife::with`].
    pub(super) fn dead_life(&self, ix: Ix<Group>, at: Ktime) -> Option<DeadLife> {
        let group = &self.groups[ix];
        let leader = &self.tasks[group.leader?];
        let (reaper, zombie) = self.taken_of(ix);
        let (parent, parent_name) = (group.parent_key(), self.parent_name(group));
        let status = group.status().settled(group.is_dead());
        let form = match (reaper, parent) {
            (None, _) => ReaperForm::None,
            (Some(_), Some(parent)) if reaper == by_parent(parent, parent_name, true) => ReaperForm::Parent,
            (Some(_), Some(parent)) if reaper == by_parent(parent, parent_name, false) => {
                ReaperForm::ParentByRule
            }
            _ => ReaperForm::Told,
        };
        let mut side = Side::default();
        if let Some(debt) = group.debt {
            side.debt = Some(self.debts[debt].debt);
            side.children = self.children_usage(ix).map(Box::new);
        }
        if group.extra.is_some() || matches!(form, ReaperForm::Told) {
            side.story = Some(Box::new(self.story(group, reaper)));
        }
        Some(DeadLife {
            start: group.start,
            since: at,
            parent_start: group.parent_start,
            exec_at: group.exec_at,
            zombie_ns: zombie.map_or(0, |zombie| zombie.ns),
            executable: None,
            usage: PackedUsage::default(),
            side: (side.debt.is_some() || side.story.is_some()).then(|| Box::new(side)),
            name: leader.comm,
            parent_name: parent_name.unwrap_or_default(),
            tgid: group.tgid,
            parent_tgid: group.parent_tgid,
            vtid: leader.vtid,
            flags: leader.flags,
            status: status.map_or(0, |status| status.0),
            exit_signal: group.exit_signal,
            execs: group.execs,
            profile: ProfileIx::default(),
            facts: group.facts,
            older: 0,
            known: leader.known,
            provenance: leader.provenance,
            zombie: zombie.map_or(ZombieForm::None, |zombie| ZombieForm::Span(zombie.bound)),
            reaper: form,
            has_status: status.is_some(),
            has_parent_name: parent_name.is_some(),
        })
    }

    fn story(&self, group: &Group, reaper: Option<Reaper>) -> Story {
        let extra = self.extra_of(group).cloned().unwrap_or_default();
        let rare = self.rare_of(group);
        Story {
            reaper,
            first_parent: extra.first_parent(),
            creator: rare.and_then(|rare| rare.creator),
            tracer: rare.and_then(|rare| rare.tracer),
            leader_died_at: extra.leader_died_at(),
            reparented_at: extra.reparented_at,
            reparent_kind: extra.reparent_kind,
            reparented: extra.reparented,
            renames: extra.renames,
            threads_created: extra.threads_created,
            threads_peak: extra.threads_peak,
        }
    }

    /// A life that is over, with all that is remembered of it.
    pub(super) fn life_of_dead(&self, dead: &DeadLife) -> Life {
        let none = Story::default();
        let side = dead.side.as_deref();
        let story = side.and_then(|side| side.story.as_deref()).unwrap_or(&none);
        let profile = self.profiles.get(dead.profile);
        let knows = |fact: u16| dead.known & fact != 0;
        let clone_flags = dead.has(fact::CLONE_FLAGS).then_some(profile.clone_flags);
        let vtid = knows(known::VTID).then_some(dead.vtid);
        let namespace = vtid.filter(|_| dead.has(fact::NAMESPACE)).map(|vtid| Namespaced {
            vtid,
            vtgid: Some(vtid),
            inode: profile.namespace,
            level: profile.namespace_level,
        });
        let end = if dead.has(fact::REAPED) {
            Some(End::Reaped)
        } else {
            dead.has(fact::AUTOREAPED).then_some(End::Autoreaped)
        };
        Life {
            key: dead.key(),
            state: LifeState::Released,
            provenance: dead.provenance,
            kind: TaskKind::of(dead.flags, true),
            name: dead.name(),
            executable: dead.executable.clone(),
            parent: dead.parent(),
            parent_name: dead.parent_name(),
            first_parent: story.first_parent,
            creator: story.creator,
            clone_flags,
            creation: clone_flags.map(|clone| Creation::of(clone, dead.flags)),
            flags: knows(known::FLAGS).then_some(dead.flags),
            exit_signal: dead.has(fact::EXIT_SIGNAL).then_some(dead.exit_signal),
            credentials: dead.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            cgroup_id: dead.has(fact::CGROUP).then_some(profile.cgroup_id),
            namespace,
            holds_parent: dead.has(fact::HOLDS_PARENT),
            execs: dead.execs,
            exec_at: (dead.execs > 0).then_some(dead.exec_at),
            renames: story.renames,
            threads: 0,
            threads_created: story.threads_created,
            threads_peak: story.threads_peak,
            tracer: story.tracer,
            since: dead.since,
            leader_died_at: story.leader_died_at,
            reparented: story.reparented,
            reparented_at: (story.reparented > 0).then_some(story.reparented_at),
            reparent_kind: story.reparent_kind,
            status: dead.has_status.then_some(WaitStatus(dead.status)),
            death: self.deaths.of(dead.key()).cloned(),
            zombie: match dead.zombie {
                ZombieForm::None => None,
                ZombieForm::Span(bound) => Some(Span { ns: dead.zombie_ns, bound }),
            },
            end,
            reaper: dead.reaper(),
            released_at: Some(dead.since),
            debt: side.and_then(|side| side.debt),
            usage: self.usages.usage(&dead.usage),
            children_usage: side.and_then(|side| side.children.clone()),
        }
    }
}
