//! The part of an explanation that comes from the lineage; /proc adds the rest later.

use std::sync::Arc;

use crate::{
    answer::{
        LineageAt, death::Relatives, kernel_stack::sleep_of, leaks::LeaksDraft, limits::LimitsDraft,
        now::Now, verdict::Missing,
    },
    cgroup::{freezer, throttle},
    lineage::{
        GroupView, Life, LifeState,
        death::{JobStop, Sent, Stop},
        effect::Creation,
        id::{GroupKey, Ktime, TaskRef, Tgid, Tid},
        record::Comm,
        scope::Scope,
    },
    procfs::Procfs,
    verdict::{
        Facts,
        facts::{Call, Child, Known, Named, Obstacle, ProcessFacts, VforkChild},
    },
};

/// The most processes that are named as keeping a namespace's init from ending.
const MOST_OBSTACLES: usize = 8;

/// A life and its relatives at one time.
#[derive(Clone, Debug)]
pub struct ExplainDraft {
    pub(super) now: Ktime,
    pub(super) observed_since: Option<Ktime>,
    pub(super) subject: Tied,
    pub(super) doing: Option<Now>,
    pub(super) not_read: Vec<Missing>,
    pub(super) parent: Option<Life>,
    pub(super) first_parent: Option<Named>,
    pub(super) creator: Option<Named>,
    owed: Option<Tied>,
    vfork_child: Option<Holder>,
    parents_vfork_child: Option<Holder>,
    obstacles: Vec<Obstacle>,
    new_reaper: Option<Named>,
    /// Limits on its forks, for `explain` only.
    pub(in crate::answer) limits: Option<LimitsDraft>,
    /// Stops of its unit or container, for `explain` only.
    pub(in crate::answer) stops: Vec<Arc<Stop>>,
    /// Lives of its unit or container, for `explain` only.
    pub(in crate::answer) scopes: Vec<Arc<Scope>>,
    /// Leaks that it takes part in, for `explain` only.
    pub(in crate::answer) leaks: Option<LeaksDraft>,
    /// What its parent did after its end, for `explain` only.
    pub(super) relatives: Relatives,
    /// Signals that may end it.
    pub(super) signals: Vec<Sent>,
}

/// A life with its tracer and its parent's thread.
#[derive(Clone, Debug)]
pub(super) struct Tied {
    pub(super) life: Life,
    pub(super) parent_thread: Option<Tid>,
    pub(super) tracer: Option<Named>,
}

impl ExplainDraft {
    /// Creates the draft of a life, live or ended; `None` if it is not stored any more.
    #[must_use]
    pub fn of(key: GroupKey, lineage_at: &LineageAt<'_>) -> Option<Self> {
        let life = lineage_at.lineage.life_by_key(key, lineage_at.now)?;
        let view = lineage_at.lineage.group(key.tgid).filter(|group| group.key() == key);
        let parent_view = match (view, life.parent) {
            (Some(view), _) => view.parent(),
            (None, Some(parent)) => {
                lineage_at.lineage.group(parent.tgid).filter(|group| group.key() == parent)
            }
            _ => None,
        };
        let parent = parent_view.filter(|parent| parent.key().tgid.0 != 0);
        let owed = view
            .and_then(|view| view.oldest_zombie())
            .and_then(|(child, _)| lineage_at.lineage.group(child.tgid))
            .and_then(|child| tied(child, lineage_at));
        let culprit = if life.state == LifeState::Zombie { parent } else { view };
        Some(Self {
            now: lineage_at.now,
            observed_since: lineage_at.observed_since,
            doing: None,
            not_read: Vec::new(),
            parent: parent.and_then(|parent| parent.life(lineage_at.now)),
            first_parent: life.first_parent.map(|key| named(key, lineage_at)),
            creator: life.creator.map(|creator| process_of(creator, lineage_at)),
            vfork_child: view.and_then(|view| vforked(view, lineage_at)),
            parents_vfork_child: parent.and_then(|parent| vforked(parent, lineage_at)),
            obstacles: obstacles(&life, lineage_at),
            new_reaper: culprit.and_then(|culprit| new_reaper(culprit, lineage_at)),
            subject: match view.and_then(|view| tied(view, lineage_at)) {
                Some(tied) => tied,
                None => Tied { life, parent_thread: None, tracer: None },
            },
            owed,
            limits: None,
            stops: Vec::new(),
            scopes: Vec::new(),
            leaks: None,
            relatives: Relatives::default(),
            signals: view.map_or_else(Vec::new, |view| view.signals().cloned().collect()),
        })
    }

    /// Returns its oldest zombie child.
    pub(super) fn owed_life(&self) -> Option<&Life> {
        self.owed.as_ref().map(|owed| &owed.life)
    }

    /// Returns all lives that its verdict uses.
    pub(super) fn lives_mut(&mut self) -> impl Iterator<Item = &mut Life> {
        let owed = self.owed.as_mut().map(|owed| &mut owed.life);
        [Some(&mut self.subject.life), self.parent.as_mut(), owed].into_iter().flatten()
    }

    /// Completes it from /proc.
    #[must_use]
    pub(in crate::answer) fn finish(self, procfs: &Procfs) -> Facts {
        let mut subject = complete(self.subject, procfs);
        if let (Some(doing), Ok(process)) = (&self.doing, &mut subject.known.process) {
            see_where_it_sleeps(process, doing);
        }
        let mut parent = self.parent.map(|life| known(life, procfs));
        if subject.known.life.state == LifeState::Zombie
            && let Some(Known { life, process: Ok(process) }) = &mut parent
        {
            process.pipe_read = procfs.pipe_read(life.key, process);
            process.held_call = procfs.held_call(life.key, process);
        }
        if self.owed.is_some()
            && let Known { life, process: Ok(process) } = &mut subject.known
        {
            process.pipe_read = procfs.pipe_read(life.key, process);
            process.held_call = procfs.held_call(life.key, process);
        }
        let parents_tracer = parent.as_ref().and_then(|parent| tracer_of(parent.process()?, procfs));
        Facts {
            now: self.now,
            observed_since: self.observed_since,
            vfork_child: self.vfork_child.and_then(|child| child.holding(subject.known.process(), procfs)),
            parents_vfork_child: self
                .parents_vfork_child
                .and_then(|child| child.holding(parent.as_ref().and_then(Known::process), procfs)),
            subject,
            parent,
            owed: self.owed.map(|tied| complete(tied, procfs)),
            parents_tracer,
            obstacles: self.obstacles,
            new_reaper: self.new_reaper,
        }
    }
}

/// Returns the tracer that has stopped a process, with the tracer's state.
fn tracer_of(process: &ProcessFacts, procfs: &Procfs) -> Option<(Named, Option<u8>)> {
    let stopped = process.live().find(|thread| thread.state == Some(b't'))?;
    let pid = stopped.tracer()?;
    let state = procfs.stat(Tgid(pid)).ok().flatten().map(|stat| stat.state);
    Some((by_stat(pid, procfs), state))
}

/// Adds the kernel function in which a thread sleeps, from the kernel's task iterator. /proc shows that only to processes that
/// may trace the thread.
fn see_where_it_sleeps(process: &mut ProcessFacts, doing: &Now) {
    for thread in &mut process.threads {
        let Some(does) = doing.tasks.iter().find(|does| does.tid == thread.tid.0) else { continue };
        if thread.wchan.is_none() {
            thread.wchan.clone_from(&does.wchan);
        }
        // These are two separate readings: between them a task can have begun to wait for something else.
        let is_same_sleep = does.wchan.is_none() || thread.wchan == does.wchan;
        if thread.state == Some(b'D') && does.is_blocked() && is_same_sleep {
            thread.sleep = Some(sleep_of(does));
        }
    }
}

fn known(life: Life, procfs: &Procfs) -> Known {
    let process = match life.state {
        LifeState::Dead | LifeState::Released => Err("a live process".into()),
        _ => facts_of(life.key, procfs),
    };
    Known { life, process }
}

/// Reads facts from /proc and the cgroup file systems.
fn facts_of(key: GroupKey, procfs: &Procfs) -> Result<ProcessFacts, String> {
    let mut facts = procfs.facts(key)?;
    let Ok(cgroups) = procfs.cgroups(key.tgid) else { return Ok(facts) };
    facts.frozen = freezer::frozen(&cgroups);
    if facts.live().any(|thread| thread.state == Some(b'R')) {
        facts.throttled = throttle::throttled(&cgroups).filter(|_| procfs.gets_no_cpu(key.tgid, &facts));
    }
    Ok(facts)
}

/// The tracer can have attached or detached since the record, so the one in /proc is used.
fn complete(tied: Tied, procfs: &Procfs) -> Child {
    let known = known(tied.life, procfs);
    let seen = known.process().and_then(|process| process.threads.first()?.tracer);
    let tracer_state =
        seen.filter(|&pid| pid != 0).and_then(|pid| procfs.stat(Tgid(pid)).ok()??.state.into());
    let tracer = match (seen, tied.tracer) {
        (Some(0), _) => None,
        (Some(pid), Some(tracer)) if tracer.key.tgid.0 == pid => Some(tracer),
        (Some(pid), _) => Some(by_stat(pid, procfs)),
        (None, tracer) => tracer,
    };
    Child { known, parent_thread: tied.parent_thread, tracer, tracer_state }
}

fn by_stat(pid: u32, procfs: &Procfs) -> Named {
    let tgid = Tgid(pid);
    let stat = procfs.stat(tgid).ok().flatten();
    let name = stat.map(|stat| stat.comm);
    Named { key: GroupKey { tgid, start: None }, name }
}

fn tied(view: GroupView<'_>, lineage_at: &LineageAt<'_>) -> Option<Tied> {
    let life = view.life(lineage_at.now)?;
    let tracer = life.tracer.map(|tracer| process_of(tracer, lineage_at));
    Some(Tied { parent_thread: view.parent_task().map(|task| task.key.tid), tracer, life })
}

pub(super) fn named(key: GroupKey, lineage_at: &LineageAt<'_>) -> Named {
    Named { key, name: lineage_at.lineage.name_by_key(key).map(bytes) }
}

/// Returns the process of a task. It may be gone, and another process may have its pid.
fn process_of(task: TaskRef, lineage_at: &LineageAt<'_>) -> Named {
    match lineage_at.lineage.life_at(task.tgid, task.key.start, lineage_at.now) {
        Some(life) => Named { key: life.key, name: life.name.map(bytes) },
        None => Named { key: GroupKey { tgid: task.tgid, start: None }, name: None },
    }
}

fn of_view(view: GroupView<'_>) -> Named {
    Named { key: view.key(), name: view.name().map(bytes) }
}

fn bytes(name: Comm) -> Vec<u8> {
    name.bytes().to_vec()
}

/// A child that may hold the process that vforked it.
#[derive(Clone, Debug)]
pub(in crate::answer) struct Holder {
    pub(in crate::answer) child: Named,
    job_stop: Option<Arc<JobStop>>,
    /// Its fork was seen, and it has neither called execve(2) nor ended.
    is_seen: bool,
}

impl Holder {
    /// Returns the child if it holds its parent: its fork was seen, or /proc shows the parent asleep in vfork(2).
    fn holding(self, parent: Option<&ProcessFacts>, procfs: &Procfs) -> Option<VforkChild> {
        let sleeps = |parent: &ProcessFacts| {
            parent.live().any(|thread| thread.state == Some(b'D') && thread.call == Some(Call::Vfork))
        };
        if !self.is_seen && !parent.is_some_and(sleeps) {
            return None;
        }
        let process = facts_of(self.child.key, procfs).ok();
        let tracer = process.as_ref().and_then(|process| process.threads.first()?.tracer());
        let tracer = tracer.map(|pid| by_stat(pid, procfs));
        Some(VforkChild { named: self.child, process, tracer, job_stop: self.job_stop })
    }
}

/// If no fork was seen, only the youngest child can hold its parent.
pub(in crate::answer) fn vforked(parent: GroupView<'_>, lineage_at: &LineageAt<'_>) -> Option<Holder> {
    let seen = parent.children().find(|child| {
        let life = child.life(lineage_at.now);
        life.is_some_and(|life| life.holds_parent && life.creation == Some(Creation::Vfork))
    });
    let is_seen = seen.is_some();
    let child = seen.or_else(|| {
        parent.children().find(|child| child.zombie_since().is_none() && !child.is_unconfirmed())
    })?;
    Some(Holder { child: of_view(child), job_stop: child.job_stop(), is_seen })
}

/// Returns the new parent of a process's children when it ends: the nearest ancestor that is a known subreaper, else the init
/// of its namespace.
fn new_reaper(of: GroupView<'_>, lineage_at: &LineageAt<'_>) -> Option<Named> {
    let own = of.life(lineage_at.now)?.namespace.map(|namespace| namespace.inode);
    for ancestor in of.ancestors() {
        let life = ancestor.life(lineage_at.now)?;
        let namespace = life.namespace;
        if namespace.map(|namespace| namespace.inode) != own {
            return None;
        }
        let is_init = namespace.is_some_and(|namespace| namespace.vtgid == Some(1)) || life.key.tgid.0 == 1;
        if ancestor.is_subreaper() || is_init {
            return Some(of_view(ancestor));
        }
    }
    None
}

/// Returns the processes for which an exiting init of a pid namespace waits: all others in that namespace.
fn obstacles(life: &Life, lineage_at: &LineageAt<'_>) -> Vec<Obstacle> {
    let Some(namespace) = life.namespace.filter(|it| it.vtgid == Some(1) && it.level > 0) else {
        return Vec::new();
    };
    if life.state != LifeState::Exiting {
        return Vec::new();
    }
    let mut found: Vec<Obstacle> = lineage_at
        .lineage
        .groups()
        .filter(|group| group.key() != life.key)
        .filter_map(|group| Some((group, group.life(lineage_at.now)?)))
        .filter(|(_, other)| other.namespace.is_some_and(|it| it.inode == namespace.inode))
        .map(|(group, _)| Obstacle {
            process: of_view(group),
            is_zombie: group.zombie_since().is_some(),
            parent: group.parent().map(of_view),
        })
        .collect();
    found.sort_by_key(|obstacle| !obstacle.is_zombie);
    found.truncate(MOST_OBSTACLES);
    found
}
