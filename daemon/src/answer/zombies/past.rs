//! Zombies of an earlier time, by the parent that had to wait for them: the zombies of the tree of that time.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Zombie, ZombieFilter};
use crate::answer::{
    Made,
    known::Known,
    place::AnswerPlace,
    process::ProcessRef,
    task::ZombieAge,
    tree::{Node, Tree},
};

/// A zombie that is younger than this, ns, is one that its parent may have been about to reap.
const YOUNG_NS: u64 = 1_000_000_000;

/// The answer to `/v1/zombies?at=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastZombies {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// The time that the answer is about.
    pub at: String,
    /// Processes that ended before this time are forgotten, so some zombies may be missing. Absent if none can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_before: Option<String>,
    /// What the history covers, if it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Box<Known>>,
    /// How many zombies there were.
    pub zombies: u64,
    /// The parents that had not waited for them, the one with most zombies first.
    pub parents: Vec<PastParent>,
}

/// A parent that had not waited for its zombies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastParent {
    /// The process. Without a name if neither memory nor the history has it.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// Its state at that time; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// Its zombies, the oldest first.
    pub zombies: Vec<Zombie>,
}

impl PastZombies {
    /// Returns the zombies in the tree of an earlier time, which must have all processes of that time.
    #[must_use]
    pub fn of(tree: Tree, filter: &ZombieFilter) -> Self {
        let Tree { made, at, incomplete_before, history, processes, .. } = tree;
        let places = places(&processes);
        let by_pid: HashMap<u32, usize> =
            processes.iter().enumerate().map(|(n, node)| (node.pid, n)).collect();
        let mut by_parent: HashMap<u32, Vec<Zombie>> = HashMap::new();
        for node in processes.iter().filter(|node| node.state == "zombie") {
            let age = node.zombie.unwrap_or(ZombieAge { zombie_at_least_ns: 0, zombie_at_most_ns: u64::MAX });
            if age.zombie_at_most_ns < filter.min_age_ns {
                continue;
            }
            let zombie = Zombie { process: reference(node), exit: None, age };
            by_parent.entry(node.parent_pid.unwrap_or_default()).or_default().push(zombie);
        }
        let parents = by_parent.into_iter().filter_map(|(pid, mut zombies)| {
            zombies
                .sort_by_key(|zombie| (std::cmp::Reverse(zombie.age.zombie_at_most_ns), zombie.process.pid));
            let found = by_pid.get(&pid).copied();
            let place = found.and_then(|n| places.get(n).cloned().flatten());
            let node = found.and_then(|n| processes.get(n));
            filter.wants(|| place.clone()).then(|| PastParent {
                process: node.map_or_else(|| unknown(pid), reference),
                state: node.map(|node| node.state.clone()),
                place,
                zombies,
            })
        });
        let mut parents: Vec<PastParent> = parents.collect();
        parents.sort_by_key(|parent| (std::cmp::Reverse(parent.zombies.len()), parent.process.pid));
        Self {
            made,
            at: at.unwrap_or_default(),
            incomplete_before,
            history,
            zombies: parents.iter().map(|parent| parent.zombies.len() as u64).sum(),
            parents,
        }
    }

    /// Returns how many zombies were so old that their parent should have reaped them by then.
    #[must_use]
    pub fn overdue(&self) -> u64 {
        let all = self.parents.iter().flat_map(|parent| &parent.zombies);
        all.filter(|zombie| zombie.age.zombie_at_most_ns >= YOUNG_NS).count() as u64
    }
}

fn reference(node: &Node) -> ProcessRef {
    ProcessRef {
        pid: node.pid,
        entity_id: node.entity_id.clone(),
        name: node.name.clone(),
        name_bytes: node.name_bytes.clone(),
    }
}

const fn unknown(pid: u32) -> ProcessRef {
    ProcessRef { pid, entity_id: None, name: None, name_bytes: None }
}

/// Returns the place of each process: a tree has it only where it is not the parent's.
fn places(processes: &[Node]) -> Vec<Option<AnswerPlace>> {
    let mut above: Vec<Option<AnswerPlace>> = Vec::new();
    let mut places = Vec::with_capacity(processes.len());
    for node in processes {
        above.truncate(node.depth as usize);
        let place = node.place.clone().or_else(|| above.last().cloned().flatten());
        above.push(place.clone());
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{answer::place::Cgroup, export::Stamp, lineage::id::Ktime};

    fn node(depth: u32, pid: u32, parent: u32, zombie_ns: Option<u64>) -> Node {
        let zombie = zombie_ns.map(|ns| ZombieAge { zombie_at_least_ns: ns, zombie_at_most_ns: ns });
        Node {
            depth,
            pid,
            vpid: None,
            parent_pid: Some(parent),
            entity_id: None,
            name: Some(format!("p{pid}")),
            name_bytes: None,
            kind: "process".into(),
            state: if zombie.is_some() { "zombie" } else { "running" }.into(),
            state_for_ns: zombie_ns,
            zombie,
            threads: 0,
            tasks: Vec::new(),
            orphan_of: None,
            new_pid_ns: None,
            subreaper: false,
            zombies: 0,
            now: None,
            spent: None,
            place: None,
        }
    }

    fn tree() -> Tree {
        let mut tree = Tree::of_history(&Stamp::new("", 0), Ktime(1), None, 1);
        let unit = |unit: &str| AnswerPlace {
            cgroup: Cgroup { unit: Some(unit.into()), ..Cgroup::default() },
            ..AnswerPlace::default()
        };
        tree.processes = vec![
            Node { place: Some(unit("a.service")), ..node(0, 10, 1, None) },
            node(1, 11, 10, None),
            node(2, 12, 11, Some(5_000_000_000)),
            node(2, 13, 11, Some(9_000_000_000)),
            node(1, 14, 10, Some(10)),
            node(0, 15, 99, Some(2_000_000_000)),
        ];
        tree
    }

    #[test]
    fn zombies_are_charged_to_their_parents_the_oldest_first() {
        let answer = PastZombies::of(tree(), &ZombieFilter::default());
        let found: Vec<(u32, Vec<u32>)> = answer
            .parents
            .iter()
            .map(|parent| {
                (parent.process.pid, parent.zombies.iter().map(|zombie| zombie.process.pid).collect())
            })
            .collect();
        assert_eq!(found, [(11, vec![13, 12]), (10, vec![14]), (99, vec![15])]);
        assert_eq!((answer.zombies, answer.overdue()), (4, 3));
        let last = answer.parents.last().unwrap();
        assert_eq!((&last.process.name, &last.state), (&None, &None), "nothing is known of that parent");
    }

    #[test]
    fn a_unit_is_that_of_the_nearest_ancestor_that_shows_one() {
        let filter = ZombieFilter { unit: Some("a.*".into()), ..ZombieFilter::default() };
        let answer = PastZombies::of(tree(), &filter);
        assert_eq!(answer.zombies, 3);
        let filter = ZombieFilter { min_age_ns: 6_000_000_000, unit: None };
        assert_eq!(PastZombies::of(tree(), &filter).zombies, 1);
    }
}
