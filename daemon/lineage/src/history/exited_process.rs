//! What is stored of an ended process: 184 bytes, and more only for facts that few processes have.

use std::sync::Arc;

use crate::Lineage;
use crate::model::debt::Debt;
use crate::model::effect::Reaper;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid};
use crate::model::kinds::{Bound, Creation, Provenance, ReaperKind, ReparentKind, Span};
use crate::model::life::{End, Life, LifeState};
use crate::model::path_name::PathName;
use crate::model::record::{Comm, Namespaced};
use crate::model::status::WaitStatus;
use crate::model::task::TaskKind;
use crate::model::usage::ChildrenUsage;
use crate::store::reaping::Reaping;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::packed_usage::PackedUsage;
use crate::store::slot::task::known;
use crate::store::slots::Held;
use crate::store::tables::arena::Ix;
use crate::store::tables::profile::ProfileIx;

/// An ended process. [`Lineage::life_of_exited`] creates a [`Life`] from it.
#[derive(Debug)]
pub(crate) struct ExitedProcess {
    start: Ktime,
    /// When it was released.
    pub(crate) since: Ktime,
    parent_start: Ktime,
    exec_at: Ktime,
    zombie_ns: u64,
    /// The time of `reaped` or `autoreaped`.
    taken_at: Ktime,
    pub(crate) executable: Option<Arc<PathName>>,
    pub(crate) usage: PackedUsage,
    pub(crate) side: Option<Box<Side>>,
    name: Comm,
    parent_name: Comm,
    pub(crate) tgid: u32,
    parent_tgid: u32,
    vtid: u32,
    flags: u32,
    status: i32,
    exit_signal: i32,
    execs: u32,
    pub(crate) profile: ProfileIx,
    facts: u32,
    /// The distance, in serials, to the previous ended process with the same tgid; 0 if there is none.
    pub(crate) older: u32,
    /// The leader's bits of [`known`].
    known: u16,
    provenance: Provenance,
    zombie: ZombieForm,
    reaper: ReaperForm,
    ended: EndedForm,
    has_status: bool,
    has_parent_name: bool,
}

const _: () =
    assert!(size_of::<ExitedProcess>() == 184, "remembered lives are budgeted: see tests/memory.rs");

/// Facts that few processes have.
#[derive(Debug, Default)]
pub(crate) struct Side {
    debt: Option<Debt>,
    children: Option<Box<ChildrenUsage>>,
    details: Option<Box<Details>>,
}

/// Facts that even fewer processes have.
#[derive(Debug, Default)]
struct Details {
    reaper: Option<Reaper>,
    first_parent: Option<GroupKey>,
    creator: Option<TaskRef>,
    tracer: Option<TaskRef>,
    leader_died_at: Option<Ktime>,
    forked_by: Option<(TaskRef, Ktime)>,
    reparented_at: Ktime,
    reparent_kind: Option<ReparentKind>,
    reparented: u32,
    renames: u32,
    threads_created: u32,
    threads_peak: u32,
}

/// Whether it was a zombie, and how well the length of that time is known.
#[derive(Clone, Copy, Debug)]
enum ZombieForm {
    None,
    Span(Bound),
}

/// The event whose stored time is also the time at which its last task died.
#[derive(Clone, Copy, Debug)]
enum EndedForm {
    Unknown,
    /// It became a zombie.
    WithZombie,
    /// It was reaped or autoreaped.
    WithTaken,
}

/// The task that reaped it.
#[derive(Clone, Copy, Debug)]
enum ReaperForm {
    /// Not known, or not reaped by another task.
    None,
    /// The main thread of its parent.
    Parent,
    /// Its parent, concluded from the kernel's rule.
    ParentByRule,
    /// See [`Details::reaper`].
    InDetails,
}

/// What the allocator adds to each piece of memory, bytes.
const OVERHEAD: usize = 16;

impl Side {
    /// Returns its size in bytes.
    fn bytes(&self) -> usize {
        let children = self.children.as_ref().map_or(0, |_| size_of::<ChildrenUsage>() + OVERHEAD);
        let details = self.details.as_ref().map_or(0, |_| size_of::<Details>() + OVERHEAD);
        size_of::<Self>() + OVERHEAD + children + details
    }

    pub(crate) fn children(&mut self) -> &mut ChildrenUsage {
        self.children.get_or_insert_default()
    }
}

impl ExitedProcess {
    pub(crate) const fn has(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    /// Its identity.
    pub(crate) fn key(&self) -> GroupKey {
        GroupKey { tgid: Tgid(self.tgid), start: self.has(fact::START).then_some(self.start) }
    }

    fn parent(&self) -> Option<GroupKey> {
        let start = self.has(fact::PARENT_START).then_some(self.parent_start);
        self.has(fact::PARENT).then_some(GroupKey { tgid: Tgid(self.parent_tgid), start })
    }

    /// Its leader's comm.
    pub(crate) fn name(&self) -> Option<Comm> {
        (self.known & known::COMM != 0).then_some(self.name)
    }

    fn parent_name(&self) -> Option<Comm> {
        self.has_parent_name.then_some(self.parent_name)
    }

    /// Adds the paths and sums that its group held.
    pub(crate) fn with(self, held: Held) -> Self {
        let Held { executable, profile, usage } = held;
        Self { executable, usage, profile, ..self }
    }

    /// Returns the bytes that it holds outside of itself.
    pub(crate) fn side_bytes(&self) -> usize {
        self.side.as_ref().map_or(0, |side| side.bytes())
    }

    fn reaper(&self) -> Option<Reaper> {
        match self.reaper {
            ReaperForm::None => None,
            ReaperForm::Parent => by_parent(self.parent()?, self.parent_name(), true),
            ReaperForm::ParentByRule => by_parent(self.parent()?, self.parent_name(), false),
            ReaperForm::InDetails => self.side.as_ref()?.details.as_ref()?.reaper,
        }
    }
}

/// Returns the most common reaper: the main thread of the parent.
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
    /// Returns what to store of a group that is released now. [`ExitedProcess::with`] adds the paths and sums that the group
    /// holds.
    pub(crate) fn exited_process(&self, ix: Ix<Group>, at: Ktime) -> Option<ExitedProcess> {
        let group = &self.store[ix];
        let leader = &self.store[group.leader()?];
        let Reaping { reaper, zombie, ended_at, at: taken_at } = self.store.reaping_of(ix);
        let (parent, parent_name) = (group.parent_key(), self.parent_name(group));
        let status = group.status().settled(group.is_dead());
        let form = match (reaper, parent) {
            (None, _) => ReaperForm::None,
            (Some(_), Some(parent)) if reaper == by_parent(parent, parent_name, true) => ReaperForm::Parent,
            (Some(_), Some(parent)) if reaper == by_parent(parent, parent_name, false) => {
                ReaperForm::ParentByRule
            }
            _ => ReaperForm::InDetails,
        };
        let mut side = Side::default();
        if let Some(debt) = group.debt() {
            side.debt = Some(self.store[debt].debt);
            side.children = self.store.children_usage(ix).map(Box::new);
        }
        if self.store.extra_of(group).is_some() || matches!(form, ReaperForm::InDetails) {
            side.details = Some(Box::new(self.details(group, reaper)));
        }
        Some(ExitedProcess {
            start: group.start(),
            since: at,
            parent_start: parent.and_then(|parent| parent.start).unwrap_or(Ktime(0)),
            exec_at: group.exec_at,
            zombie_ns: zombie.map_or(0, |zombie| zombie.ns),
            taken_at: taken_at.unwrap_or_default(),
            ended: match (ended_at, taken_at, zombie) {
                (Some(ended), Some(taken), Some(zombie)) if taken.since(ended) == zombie.ns => {
                    EndedForm::WithZombie
                }
                (Some(ended), Some(taken), _) if ended == taken => EndedForm::WithTaken,
                _ => EndedForm::Unknown,
            },
            executable: None,
            usage: PackedUsage::default(),
            side: (side.debt.is_some() || side.details.is_some()).then(|| Box::new(side)),
            name: leader.comm,
            parent_name: parent_name.unwrap_or_default(),
            tgid: group.tgid(),
            parent_tgid: group.parent_tgid(),
            vtid: leader.vtid,
            flags: leader.flags,
            status: status.map_or(0, |status| status.0),
            exit_signal: group.exit_signal(),
            execs: group.execs,
            profile: ProfileIx::default(),
            facts: group.facts(),
            older: 0,
            known: leader.known,
            provenance: leader.provenance,
            zombie: zombie.map_or(ZombieForm::None, |zombie| ZombieForm::Span(zombie.bound)),
            reaper: form,
            has_status: status.is_some(),
            has_parent_name: parent_name.is_some(),
        })
    }

    fn details(&self, group: &Group, reaper: Option<Reaper>) -> Details {
        let extra = self.store.extra_of(group).unwrap_or_default();
        let rare = self.store.rare_of(group);
        Details {
            reaper,
            first_parent: extra.first_parent(),
            creator: rare.and_then(|rare| rare.creator),
            tracer: rare.and_then(|rare| rare.tracer),
            leader_died_at: extra.leader_died_at(),
            forked_by: rare.and_then(|rare| rare.forked_by),
            reparented_at: extra.reparented_at,
            reparent_kind: extra.reparent_kind,
            reparented: extra.reparented,
            renames: extra.renames,
            threads_created: extra.threads_created,
            threads_peak: extra.threads_peak,
        }
    }

    /// Returns the life of an ended process, with everything that is remembered.
    pub(crate) fn life_of_exited(&self, exited: &ExitedProcess) -> Life {
        let none = Details::default();
        let side = exited.side.as_deref();
        let details = side.and_then(|side| side.details.as_deref()).unwrap_or(&none);
        let profile = self.store.profile_at(exited.profile);
        let knows = |fact: u16| exited.known & fact != 0;
        let clone_flags = exited.has(fact::CLONE_FLAGS).then_some(profile.clone_flags);
        let vtid = knows(known::VTID).then_some(exited.vtid);
        let namespace = vtid.filter(|_| exited.has(fact::NAMESPACE)).map(|vtid| Namespaced {
            vtid,
            vtgid: Some(vtid),
            inode: profile.namespace,
            level: profile.namespace_level,
        });
        let end = if exited.has(fact::REAPED) {
            Some(End::Reaped)
        } else {
            exited.has(fact::AUTOREAPED).then_some(End::Autoreaped)
        };
        Life {
            key: exited.key(),
            state: LifeState::Released,
            provenance: exited.provenance,
            kind: TaskKind::of(exited.flags, true),
            name: exited.name(),
            executable: exited.executable.clone(),
            parent: exited.parent(),
            parent_name: exited.parent_name(),
            first_parent: details.first_parent,
            creator: details.creator,
            clone_flags,
            creation: clone_flags.map(|clone| Creation::of(clone, exited.flags)),
            flags: knows(known::FLAGS).then_some(exited.flags),
            exit_signal: exited.has(fact::EXIT_SIGNAL).then_some(exited.exit_signal),
            credentials: exited.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            cgroup_id: exited.has(fact::CGROUP).then_some(profile.cgroup_id),
            namespace,
            holds_parent: exited.has(fact::HOLDS_PARENT),
            execs: exited.execs,
            exec_at: (exited.execs > 0).then_some(exited.exec_at),
            before_exec: None,
            renames: details.renames,
            threads: 0,
            threads_created: details.threads_created,
            threads_peak: details.threads_peak,
            tracer: details.tracer,
            since: exited.since,
            leader_died_at: details.leader_died_at,
            reparented: details.reparented,
            reparented_at: (details.reparented > 0).then_some(details.reparented_at),
            reparent_kind: details.reparent_kind,
            status: exited.has_status.then_some(WaitStatus(exited.status)),
            death: self.deaths.of(exited.key()).cloned(),
            job_stop: None,
            zombie: match exited.zombie {
                ZombieForm::None => None,
                ZombieForm::Span(bound) => Some(Span { ns: exited.zombie_ns, bound }),
            },
            end,
            reaper: exited.reaper(),
            released_at: Some(exited.since),
            ended_at: match exited.ended {
                EndedForm::Unknown => None,
                EndedForm::WithZombie => Some(Ktime(exited.taken_at.0.saturating_sub(exited.zombie_ns))),
                EndedForm::WithTaken => Some(exited.taken_at),
            },
            taken_at: (exited.taken_at.0 > 0).then_some(exited.taken_at),
            forked_by: details.forked_by,
            debt: side.and_then(|side| side.debt),
            usage: self.store.usage_of(&exited.usage),
            children_usage: side.and_then(|side| side.children.clone()),
        }
    }
}
