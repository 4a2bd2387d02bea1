//! The nodes of the tree, parents before children.

use std::collections::{HashMap, HashSet};

use super::{Node, Thread, TreeError, TreeOptions, subtrees};
use crate::{
    answer::{
        LineageAt,
        now::AllFigures,
        place::AnswerPlace,
        process::{ProcessRef, names},
        spent::Spent,
        task::{PidNs, ZombieAge},
        usage::UsageFigures,
    },
    export::Stamp,
    lineage::{
        GroupView, Life, LifeState, TaskKind, TaskState,
        effect::Bound,
        id::{GroupKey, Ktime, Tgid, Tid},
        record::Comm,
    },
};

/// A life at the time that is shown.
pub(super) struct Entry<'a> {
    pub(super) life: Life,
    pub(super) parent: Option<GroupKey>,
    pub(super) view: Option<GroupView<'a>>,
}

/// Indexes the children of each process, and the processes without a parent, by position.
pub(super) fn index(entries: &[Entry<'_>]) -> HashMap<Option<GroupKey>, Vec<usize>> {
    let known: HashSet<GroupKey> = entries.iter().map(|entry| entry.life.key).collect();
    let mut children: HashMap<Option<GroupKey>, Vec<usize>> = HashMap::new();
    for (n, entry) in entries.iter().enumerate() {
        let parent = entry.parent.filter(|parent| known.contains(parent));
        children.entry(parent).or_default().push(n);
    }
    children
}

/// The facts from which nodes are created.
pub(super) struct Walk<'a> {
    pub(super) options: TreeOptions,
    pub(super) at: Ktime,
    pub(super) lineage_at: &'a LineageAt<'a>,
    pub(super) stamp: &'a Stamp,
    pub(super) figures: Option<&'a AllFigures>,
    pub(super) index: HashMap<Option<GroupKey>, Vec<usize>>,
    pub(super) entries: Vec<Entry<'a>>,
}

impl Walk<'_> {
    /// Returns all nodes below the root that is asked for.
    pub(super) fn all(
        &self,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
    ) -> Result<Vec<Node>, TreeError> {
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
        Ok(if self.options.usage { subtrees::add_up(nodes) } else { nodes })
    }

    fn children(&self, of: Option<GroupKey>) -> impl Iterator<Item = usize> {
        self.index.get(&of).into_iter().flatten().copied()
    }

    fn node(
        &self,
        entry: &Entry<'_>,
        depth: u32,
        parent: Option<&Entry<'_>>,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
    ) -> Node {
        let life = &entry.life;
        let (state, since, zombie) = self.state(life);
        let (name, name_bytes) = names(life.name.as_ref().map(Comm::bytes));
        let namespace = |life: &Life| life.namespace.map(|it| (it.inode, it.level));
        // The namespace of a task that is known from /proc only is unknown.
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

    /// Returns its state at the time that is shown, and when that state began, if that was seen.
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
                        .map(|used| UsageFigures::of(used, used.split())),
                }
            })
            .collect()
    }
}
