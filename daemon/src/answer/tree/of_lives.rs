//! The tree at a time that memory does not cover: processes that have ended since then come from the history.

use std::collections::{HashMap, HashSet};

use super::{Node, Tree, TreeError};
use crate::{
    answer::{Made, known::Known, life::LifeRecord, place::AnswerPlace, task::ZombieAge},
    export::Stamp,
    lineage::id::Ktime,
};

impl Tree {
    /// Creates a tree without processes, of a time on the wall clock, ms since the epoch.
    #[must_use]
    pub fn of_history(stamp: &Stamp, now: Ktime, observed_since: Option<Ktime>, at_ms: i64) -> Self {
        Self {
            made: Made::at(now, observed_since, stamp),
            at: Some(Stamp::new("", i128::from(at_ms) * 1_000_000).timestamp(Ktime(0))),
            missing: Vec::new(),
            incomplete_before: None,
            history: None,
            processes: Vec::new(),
        }
    }

    /// Adds processes that existed at the time of the tree and have ended since. `root` selects a process and its descendants.
    pub fn add_history(
        &mut self,
        lives: &[LifeRecord],
        at_ms: i64,
        root: Option<u32>,
        known: Known,
    ) -> Result<(), TreeError> {
        let mut nodes = std::mem::take(&mut self.processes);
        // At one time only one process has a pid. If a pid was used again within the same millisecond, the younger process is kept.
        let mut pids: HashSet<u32> = nodes.iter().map(|node| node.pid).collect();
        let ids: HashSet<String> = nodes.iter().filter_map(|node| node.entity_id.clone()).collect();
        let is_new = |life: &&LifeRecord| life.process.entity_id.as_ref().is_none_or(|id| !ids.contains(id));
        for life in lives.iter().filter(is_new).rev() {
            if pids.insert(life.process.pid) {
                nodes.push(node(life, at_ms));
            }
        }
        self.processes = ordered(nodes, root)?;
        self.incomplete_before = None;
        self.history = Some(Box::new(known));
        Ok(())
    }
}

/// Returns a process as it was at a time.
fn node(life: &LifeRecord, at_ms: i64) -> Node {
    let ended_ms = life.ended_ms().filter(|&ended| ended <= at_ms);
    let zombie_ns = ended_ms.map(|ended| u64::try_from(at_ms - ended).unwrap_or(0).saturating_mul(1_000_000));
    let parent = life.parent_at(at_ms);
    let process = &life.process;
    Node {
        depth: 0,
        pid: process.pid,
        vpid: process.vpid.filter(|&vpid| vpid != process.pid),
        parent_pid: parent.filter(|&pid| pid != 0),
        entity_id: process.entity_id.clone(),
        name: process.name.clone(),
        name_bytes: process.name_bytes.clone(),
        kind: "process".into(),
        state: if zombie_ns.is_some() { "zombie" } else { "running" }.into(),
        state_for_ns: zombie_ns,
        zombie: zombie_ns.map(|ns| ZombieAge { zombie_at_least_ns: ns, zombie_at_most_ns: ns }),
        threads: 0,
        tasks: Vec::new(),
        orphan_of: life
            .first_parent
            .clone()
            .filter(|first| Some(first.pid) != parent && first.pid != 0)
            .map(Box::new),
        new_pid_ns: None,
        subreaper: false,
        zombies: 0,
        now: None,
        spent: None,
        place: life.place.clone().filter(|place| place.cgroup.path != "/"),
    }
}

/// Orders processes depth first, siblings by pid, and omits the place of a process whose parent has the same.
fn ordered(mut nodes: Vec<Node>, root: Option<u32>) -> Result<Vec<Node>, TreeError> {
    nodes.sort_by_key(|node| node.pid);
    let by_pid: HashMap<u32, usize> = nodes.iter().enumerate().map(|(n, node)| (node.pid, n)).collect();
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (n, node) in nodes.iter().enumerate() {
        let parent = node.parent_pid.and_then(|pid| by_pid.get(&pid)).copied().filter(|&parent| parent != n);
        children.entry(parent).or_default().push(n);
    }
    let first = match root {
        None => children.get(&None).cloned().unwrap_or_default(),
        Some(pid) => vec![by_pid.get(&pid).copied().ok_or(TreeError::NoRoot(pid))?],
    };
    let mut open: Vec<(usize, u32, Option<AnswerPlace>)> =
        first.into_iter().rev().map(|n| (n, 0, None)).collect();
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some((n, depth, above)) = open.pop() {
        let Some(mut node) = nodes.get_mut(n).and_then(Option::take) else { continue };
        let place = node.place.clone().or_else(|| above.clone());
        if node.place == above {
            node.place = None;
        }
        node.depth = depth;
        out.push(node);
        let below = children.get(&Some(n)).into_iter().flatten().rev();
        open.extend(below.map(|&child| (child, depth + 1, place.clone())));
    }
    Ok(out)
}
