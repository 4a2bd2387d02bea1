//! The process tree now, or at an earlier time that the daemon's history covers.

mod of_lives;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    LineageAt, Made,
    known::Known,
    now::{AllFigures, Now},
    place::Place,
    process::{ProcessRef, names},
    spent::{self, Spent},
    task::{PidNs, ZombieAge},
    usage::Figures,
    verdict::Missing,
};
use crate::{
    export::Stamp,
    lineage::{
        GroupView, Life, LifeState, TaskKind, TaskState,
        effect::Bound,
        id::{GroupKey, Ktime, Tgid, Tid},
        record::Comm,
    },
};

/// The options of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct TreeOptions {
    /// Only this process and its descendants.
    pub root: Option<u32>,
    /// Whether to list each thread.
    pub threads: bool,
    /// Whether to include kernel threads.
    pub kernel: bool,
    /// The time to show, if not now.
    pub at: Option<Ktime>,
    /// Whether the history is asked too, so that a time before this daemon has an answer.
    pub has_history: bool,
    /// Whether to add what each process is doing now.
    pub now: bool,
    /// Whether to add what each process has used so far, ended children included, and to sort siblings by it.
    pub usage: bool,
}

impl TreeOptions {
    /// Whether the query needs figures of all tasks.
    #[must_use]
    pub const fn needs_figures(&self) -> bool {
        self.now || self.usage
    }
}

/// Why there is no tree.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TreeError {
    /// No such process.
    #[error("no process had the pid {0} at that time, as far as is known")]
    NoRoot(u32),
    /// No daemon observed at that time.
    #[error("only a daemon that was running at that time (`taskscope run`) knows the tree: {0}")]
    NotObserved(&'static str),
}

/// The answer to `/v1/tree`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// When the answer was made.
    #[serde(flatten)]
    pub made: Made,
    /// The time that is shown, if it is in the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Requested facts that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Processes that ended before this time are forgotten, so some of the time shown may be missing. Absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_before: Option<String>,
    /// What the history knows, if the answer is from it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Box<Known>>,
    /// The processes in depth-first order.
    pub processes: Vec<Node>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The depth below the root.
    pub depth: u32,
    /// Its pid.
    pub pid: u32,
    /// Its id in its own pid namespace, if it is another number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpid: Option<u32>,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// Its kind.
    pub kind: String,
    /// `running`, `exiting`, `dead_leader`, `zombie`, `dead`.
    pub state: String,
    /// How long it has been in this state, at least, ns; absent if the beginning was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_for_ns: Option<u64>,
    /// How long it has been a zombie.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub zombie: Option<ZombieAge>,
    /// Its tasks, the leader included; 0 if only the history knows it.
    pub threads: u32,
    /// Its threads besides the leader, if requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Thread>,
    /// Its first parent, if that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan_of: Option<Box<ProcessRef>>,
    /// Its pid namespace, if it is not its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_pid_ns: Option<PidNs>,
    /// Whether orphans were reparented to it as a subreaper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subreaper: bool,
    /// Zombies that it has not reaped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zombies: u32,
    /// What its tasks are doing now, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// What it has used so far, if requested.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Box<Spent>>,
    /// Its place, if it is not its parent's.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its tid.
    pub tid: u32,
    /// Its id in its own pid namespace, if it is another number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vid: Option<u32>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// Its kind.
    pub kind: String,
    /// `running`, `exiting`, `zombie`.
    pub state: String,
    /// What it has used so far, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_so_far: Option<Figures>,
}

/// A life at the time that is shown.
struct Entry<'a> {
    life: Life,
    parent: Option<GroupKey>,
    view: Option<GroupView<'a>>,
}

impl Tree {
    /// Returns the tree. Costs one step for each process.
    pub fn of(
        options: TreeOptions,
        lineage_at: &LineageAt<'_>,
        stamp: &Stamp,
        places: &mut dyn FnMut(u64) -> Option<Place>,
        figures: Option<&AllFigures>,
    ) -> Result<Self, TreeError> {
        let at = options.at.unwrap_or(lineage_at.now);
        if options.at.is_some() {
            match lineage_at.observed_since {
                None => return Err(TreeError::NotObserved("no daemon was asked")),
                Some(since) if at < since && !options.has_history => {
                    return Err(TreeError::NotObserved("this one started later"));
                }
                Some(_) => {}
            }
        }
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for view in lineage_at.lineage.groups() {
            let Some(life) = view.life(lineage_at.now) else { continue };
            let is_there = life.key.start.is_none_or(|start| start <= at);
            // A reaped process is in its parent's counts already, even before its release, so it is not counted again.
            let is_charged = options.usage && life.end.is_some();
            // An unconfirmed zombie is not shown.
            let is_certain = !view.is_unconfirmed() || at < life.since;
            if is_there && is_certain && !is_charged && life.state < LifeState::Released {
                entries.push(Entry { parent: parent_at(&life, at), life, view: Some(view) });
            }
        }
        if options.at.is_some() {
            let had = |life: &Life| {
                life.key.start.is_none_or(|start| start <= at)
                    && life.released_at.is_some_and(|end| at <= end)
            };
            for life in lineage_at.lineage.dead_lives().filter(had) {
                entries.push(Entry { parent: parent_at(&life, at), life, view: None });
            }
            entries.sort_by_key(|entry| entry.life.key);
        }
        let walk = Walk { options, at, lineage_at, stamp, figures, index: index(&entries), entries };
        Ok(Self {
            made: Made::at(lineage_at.now, lineage_at.observed_since, stamp),
            at: options.at.map(|at| stamp.timestamp(at)),
            missing: figures.map(|figures| figures.missing().to_vec()).unwrap_or_default(),
            incomplete_before: options.at.and_then(|at| {
                let until = lineage_at.lineage.forgotten_until().filter(|&until| at < until)?;
                Some(stamp.timestamp(until))
            }),
            history: None,
            processes: walk.all(places)?,
        })
    }
}

/// Returns its parent at a given time: the first and the last parent are known.
fn parent_at(life: &Life, at: Ktime) -> Option<GroupKey> {
    match life.reparented_at {
        Some(reparented_at) if at < reparented_at => life.first_parent.or(life.parent),
        _ => life.parent,
    }
}

/// Indexes the children of each process, and the processes without a parent, by position.
fn index(entries: &[Entry<'_>]) -> HashMap<Option<GroupKey>, Vec<usize>> {
    let known: HashSet<GroupKey> = entries.iter().map(|entry| entry.life.key).collect();
    let mut children: HashMap<Option<GroupKey>, Vec<usize>> = HashMap::new();
    for (n, entry) in entries.iter().enumerate() {
        let parent = entry.parent.filter(|parent| known.contains(parent));
        children.entry(parent).or_default().push(n);
    }
    children
}

struct Walk<'a> {
    options: TreeOptions,
    at: Ktime,
    lineage_at: &'a LineageAt<'a>,
    stamp: &'a Stamp,
    figures: Option<&'a AllFigures>,
    index: HashMap<Option<GroupKey>, Vec<usize>>,
    entries: Vec<Entry<'a>>,
}

impl Walk<'_> {
    fn all(&self, places: &mut dyn FnMut(u64) -> Option<Place>) -> Result<Vec<Node>, TreeError> {
        let mut nodes = Vec::new();
        // Positions still to visit, the next one last, each with its depth and its parent's position.
        let mut open: Vec<(usize, u32, Option<usize>)> = match self.options.root {
            None => self.children(None).map(|n| (n, 0, None)).collect(),
            Some(pid) => {
                // A tid selects the process of the thread.
                let leader =
                    self.lineage_at.lineage.group_of(Tid(pid)).map_or(Tgid(pid), |group| group.key().tgid);
                let root = self.entries.iter().rposition(|entry| entry.life.key.tgid == leader);
                vec![(root.ok_or(TreeError::NoRoot(pid))?, 0, None)]
            }
        };
        open.reverse();
        while let Some((n, depth, parent)) = open.pop() {
            let Some(entry) = self.entries.get(n) else { continue };
            let is_root = depth == 0 && self.options.root.is_some();
            if entry.life.kind == TaskKind::KernelThread && !self.options.kernel && !is_root {
                continue;
            }
            nodes.push(self.node(entry, depth, parent.and_then(|n| self.entries.get(n)), places));
            let from = open.len();
            open.extend(self.children(Some(entry.life.key)).map(|child| (child, depth + 1, Some(n))));
            open.get_mut(from..).unwrap_or_default().reverse();
        }
        Ok(if self.options.usage { spent::add_up(nodes) } else { nodes })
    }

    fn children(&self, of: Option<GroupKey>) -> impl Iterator<Item = usize> {
        self.index.get(&of).into_iter().flatten().copied()
    }

    fn node(
        &self,
        entry: &Entry<'_>,
        depth: u32,
        parent: Option<&Entry<'_>>,
        places: &mut dyn FnMut(u64) -> Option<Place>,
    ) -> Node {
        let life = &entry.life;
        let (state, since, zombie) = self.state(life);
        let (name, name_bytes) = names(life.name.as_ref().map(Comm::bytes));
        let namespace = |life: &Life| life.namespace.map(|it| (it.inode, it.level));
        // Some tasks are known from /proc only, which does not show this.
        let is_new = match parent.and_then(|parent| namespace(&parent.life)) {
            Some(parents) => namespace(life).is_some_and(|own| own != parents),
            None => life.namespace.is_some_and(|it| it.level > 0),
        };
        let cgroup =
            life.cgroup_id.filter(|&id| parent.is_none_or(|parent| parent.life.cgroup_id != Some(id)));
        let place = cgroup.and_then(places).filter(|place| place.cgroup.path != "/");
        Node {
            depth,
            pid: life.key.tgid.0,
            vpid: life.namespace.and_then(|it| it.vtgid).filter(|&vpid| vpid != life.key.tgid.0),
            parent_pid: entry.parent.map(|parent| parent.tgid.0).filter(|&pid| pid != 0),
            entity_id: self.stamp.entity_id(life.key),
            name,
            name_bytes,
            kind: life.kind.name().into(),
            state: state.name().into(),
            state_for_ns: since.map(|since| self.at.since(since)),
            zombie,
            threads: life.threads,
            tasks: entry
                .view
                .filter(|_| self.options.threads)
                .map_or_else(Vec::new, |view| self.threads(&view)),
            orphan_of: self.orphan_of(life).map(Box::new),
            new_pid_ns: life
                .namespace
                .filter(|_| is_new)
                .map(|it| PidNs { inode: it.inode, level: it.level }),
            subreaper: entry.view.is_some_and(|view| view.is_subreaper()),
            zombies: if self.options.at.is_none() { life.debt.map_or(0, |debt| debt.zombies) } else { 0 },
            now: self.figures.filter(|_| self.options.now).and_then(|figures| figures.of(life.key)),
            spent: self.spending().map(|figures| Box::new(Spent::of(life, entry.view.as_ref(), figures))),
            place,
        }
    }

    /// Returns its first parent, if it was reparented before the time that is shown.
    fn orphan_of(&self, life: &Life) -> Option<ProcessRef> {
        life.reparented_at.filter(|&reparented_at| reparented_at <= self.at)?;
        let first = life.first_parent.filter(|first| first.tgid.0 != 0)?;
        Some(ProcessRef::by(first, self.lineage_at.lineage.name_by_key(first), self.stamp))
    }

    /// Returns the figures of all tasks, if usage was requested.
    fn spending(&self) -> Option<&AllFigures> {
        self.figures.filter(|_| self.options.usage)
    }

    /// Returns its state at the time that is shown, and since when, if that was seen.
    fn state(&self, life: &Life) -> (LifeState, Option<Ktime>, Option<ZombieAge>) {
        let saw = |at: &Ktime| self.lineage_at.observed_since.is_some_and(|began| began < *at);
        if self.options.at.is_none() {
            let zombie = (life.state == LifeState::Zombie).then(|| ZombieAge::of(life, self.at)).flatten();
            let since = match life.state {
                LifeState::DeadLeader => life.leader_died_at,
                _ => Some(life.since),
            };
            return (life.state, since.filter(saw).filter(|_| life.state != LifeState::Running), zombie);
        }
        let end = life.released_at.unwrap_or(self.lineage_at.now);
        let became_zombie = life.zombie.map(|span| Ktime(end.0.saturating_sub(span.ns)));
        let is_exact = life.zombie.is_some_and(|span| span.bound == Bound::Exact);
        match (became_zombie, life.leader_died_at) {
            (Some(since), _) if since <= self.at => {
                let age = self.at.since(since);
                let at_least = if is_exact { age } else { 0 };
                let zombie = ZombieAge { zombie_at_least_ns: at_least, zombie_at_most_ns: age };
                (LifeState::Zombie, Some(since), Some(zombie))
            }
            (_, Some(since)) if since <= self.at => (LifeState::DeadLeader, Some(since), None),
            _ if life.state == LifeState::Exiting && life.since <= self.at => {
                (LifeState::Exiting, Some(life.since), None)
            }
            _ => (LifeState::Running, None, None),
        }
    }

    /// Returns the tasks of a group besides its leader that existed at that time.
    fn threads(&self, view: &GroupView<'_>) -> Vec<Thread> {
        let leader = view.key().tgid.leader();
        view.threads()
            .filter(|thread| thread.task.key.tid != leader && thread.task.key.start <= self.at)
            .map(|thread| {
                let tid = thread.task.key.tid.0;
                let (name, name_bytes) = names(thread.thread.name.as_ref().map(Comm::bytes));
                Thread {
                    tid,
                    vid: thread.thread.namespace.map(|it| it.vtid).filter(|&vid| vid != tid),
                    name,
                    name_bytes,
                    kind: thread.thread.kind.name().into(),
                    state: match thread.state {
                        TaskState::Implied => TaskState::Running.name().into(),
                        state => state.name().into(),
                    },
                    usage_so_far: self
                        .spending()
                        .and_then(|figures| figures.used(thread.task))
                        .map(|used| Figures::of(used, used.split())),
                }
            })
            .collect()
    }
}
