//! A past time: the tree, zombies and deaths of that time, and how far back everything is known.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
};

use super::{Mark, Row, Target, event::name_pid, tree::TreeRows};
use crate::answer::{
    death::{Death, Deaths},
    task::ZombieAge,
    text::{age, escape},
    time_arg::wall_ns,
    tree::{Node, Tree},
};

/// The answers about a past time.
#[derive(Debug)]
pub struct PastAnswer {
    /// `/v1/tree` with `at`.
    pub tree: Tree,
    /// `/v1/deaths` with `at`.
    pub deaths: Deaths,
}

/// A past time that the view shows.
pub struct Past {
    /// The time, ns since the epoch.
    pub at_ns: Option<i128>,
    /// Since when the tree and its ends are known, ns since the epoch.
    pub known_since_ns: Option<i128>,
    /// Processes that ended before this time may be missing, ns since the epoch.
    pub incomplete_before_ns: Option<i128>,
    /// The number of gaps in the history.
    pub gaps: u64,
    /// The number of processes.
    pub processes: usize,
    /// The number of zombies.
    pub zombies: u32,
    pub(super) tree: TreeRows,
    pub(super) parents: Vec<PastParent>,
    /// The last first.
    pub(super) deaths: VecDeque<Death>,
}

/// A parent of zombies at a past time.
pub(super) struct PastParent {
    pub(super) pid: u32,
    pub(super) name: Option<String>,
    entity_id: Option<String>,
    parent: Option<u32>,
    zombies: u32,
    oldest: Option<ZombieAge>,
}

impl Past {
    pub(super) fn new(answer: PastAnswer) -> Self {
        let PastAnswer { tree, deaths } = answer;
        let made_ns = wall_ns(&tree.made.timestamp);
        let started = || Some(made_ns? - i128::from(tree.made.observed_ns?));
        let known_since_ns = match &tree.history {
            Some(history) => history.known_since.as_deref().and_then(wall_ns),
            None => started(),
        };
        let parents = parents(&tree.processes);
        Self {
            at_ns: tree.at.as_deref().and_then(wall_ns),
            known_since_ns,
            incomplete_before_ns: tree.incomplete_before.as_deref().and_then(wall_ns),
            gaps: tree.history.as_ref().map_or(0, |known| known.gaps.len() as u64 + known.more_gaps),
            processes: tree.processes.len(),
            zombies: parents.iter().map(|parent| parent.zombies).sum(),
            parents,
            deaths: deaths.deaths.into(),
            tree: TreeRows::of(tree.into()),
        }
    }

    /// Sorts the rows of parents of zombies.
    pub(super) fn sort_parents(&self, order: &str, rows: &mut [u32]) {
        let parent = |row: u32| self.parents.get(row as usize);
        match order {
            "name" => rows.sort_by_cached_key(|&row| parent(row).and_then(|it| it.name.clone())),
            "age" => rows.sort_by_key(|&row| {
                Reverse(parent(row).and_then(|it| it.oldest).map(|oldest| oldest.zombie_at_least_ns))
            }),
            _ => rows.sort_by_key(|&row| Reverse(parent(row).map(|it| it.zombies))),
        }
    }
}

impl PastParent {
    pub(super) fn row(&self) -> Row {
        Row {
            mark: Mark::Odd,
            cells: vec![
                self.zombies.to_string(),
                self.oldest.map_or_else(|| "-".into(), age),
                "-".into(),
                escape(&name_pid(self.name.as_deref(), self.pid)),
                "the reason is known for the present only".into(),
            ],
            target: Some(Target { pid: self.pid, entity_id: self.entity_id.clone(), parent: self.parent }),
        }
    }
}

/// Returns the parents of all zombies of a tree.
fn parents(nodes: &[Node]) -> Vec<PastParent> {
    let by_pid: HashMap<u32, &Node> = nodes.iter().map(|node| (node.pid, node)).collect();
    let mut parents: Vec<PastParent> = Vec::new();
    let mut places: HashMap<u32, usize> = HashMap::new();
    for zombie in nodes.iter().filter(|node| node.state == "zombie") {
        let pid = zombie.parent_pid.unwrap_or(0);
        let place = *places.entry(pid).or_insert_with(|| {
            let node = by_pid.get(&pid);
            parents.push(PastParent {
                pid,
                name: node.and_then(|node| node.name.clone()),
                entity_id: node.and_then(|node| node.entity_id.clone()),
                parent: node.and_then(|node| node.parent_pid),
                zombies: 0,
                oldest: None,
            });
            parents.len() - 1
        });
        if let Some(parent) = parents.get_mut(place) {
            parent.zombies += 1;
            let older = |it: &ZombieAge| {
                parent.oldest.is_none_or(|oldest| it.zombie_at_least_ns > oldest.zombie_at_least_ns)
            };
            if let Some(age) = zombie.zombie.filter(older) {
                parent.oldest = Some(age);
            }
        }
    }
    parents
}
