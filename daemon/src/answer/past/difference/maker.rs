//! Compares two trees and adds up the lives of the time between them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Difference, GoneProcess, MovedProcess, NewProcess, Scope, UsedByName};
use crate::{
    answer::{
        death::Death,
        life::LifeRecord,
        place::AnswerPlace,
        process::ProcessRef,
        tree::{Node, Tree},
    },
    export::matches as glob,
};

/// A process of a tree.
struct Member<'a> {
    node: &'a Node,
    parent: Option<ProcessRef>,
    place: Option<AnswerPlace>,
}

/// The identity of a process: its entity id, or its pid if that is not known.
fn identity(id: Option<&String>, pid: u32) -> String {
    id.cloned().unwrap_or_else(|| pid.to_string())
}

fn to_ref(node: &Node) -> ProcessRef {
    ProcessRef {
        pid: node.pid,
        entity_id: node.entity_id.clone(),
        name: node.name.clone(),
        name_bytes: node.name_bytes.clone(),
    }
}

/// Returns the processes of a tree that are in the scope, by identity.
fn members<'a>(tree: &'a Tree, scope: &Scope) -> BTreeMap<(u32, String), Member<'a>> {
    let mut found = BTreeMap::new();
    // For each depth above the present node: the process, its place, and whether it is in the subtree.
    let mut above: Vec<(ProcessRef, Option<AnswerPlace>, bool)> = Vec::new();
    for node in &tree.processes {
        above.truncate(node.depth as usize);
        let parent = above.last();
        let place = node.place.clone().or_else(|| parent.and_then(|(_, place, _)| place.clone()));
        let is_below = parent.is_some_and(|&(_, _, is_in)| is_in);
        let is_in = match scope {
            Scope::All => true,
            Scope::Pid(pid) => node.pid == *pid || is_below,
            Scope::Unit(unit) => is_of_unit(place.as_ref(), unit),
        };
        if is_in && node.kind != "kernel_thread" {
            let parent = parent.map(|(parent, ..)| parent.clone());
            let id = identity(node.entity_id.as_ref(), node.pid);
            found.insert((node.pid, id), Member { node, parent, place: place.clone() });
        }
        above.push((to_ref(node), place, is_in));
    }
    found
}

fn is_of_unit(place: Option<&AnswerPlace>, unit: &str) -> bool {
    let own = place.and_then(|place| place.cgroup.unit.as_ref());
    own.is_some_and(|own| glob(unit.as_bytes(), own.as_bytes()))
}

/// Adds up lives of the time in between. Lives can be added in any order and are not kept, so that many need no memory. Only for a
/// question about one process does it store each life's parents.
pub struct DifferenceMaker {
    scope: Scope,
    from_ms: i64,
    to_ms: i64,
    used: HashMap<String, UsedByName>,
    came_and_went: u64,
    /// Lives of processes that existed at the first time, by identity.
    ended: HashMap<String, LifeRecord>,
    /// For a question about a process: lives that began in between, with their parents' identities.
    rows: Vec<Row>,
}

/// A life that began in between.
struct Row {
    id: String,
    parents: Vec<String>,
    name: String,
    cpu_ns: u64,
}

impl DifferenceMaker {
    /// Starts with no lives. Times are ms since the epoch.
    #[must_use]
    pub fn new(scope: Scope, from_ms: i64, to_ms: i64) -> Self {
        Self {
            scope,
            from_ms,
            to_ms,
            used: HashMap::new(),
            came_and_went: 0,
            ended: HashMap::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a life. It is ignored if it was not released between the two times.
    pub fn add(&mut self, life: LifeRecord) {
        let is_in_time = life.released_ms().is_some_and(|at| self.from_ms < at && at <= self.to_ms);
        if !is_in_time {
            return;
        }
        let id = identity(life.process.entity_id.as_ref(), life.process.pid);
        if life.start_ms().is_none_or(|start| start <= self.from_ms) {
            self.ended.insert(id, life);
            return;
        }
        let cpu_ns = life.usage.map_or(0, |usage| usage.figures.exec_runtime_ns);
        let name = life.process.name.unwrap_or_default();
        match &self.scope {
            Scope::Unit(unit) if !is_of_unit(life.place.as_ref(), unit) => {}
            Scope::All | Scope::Unit(_) => self.add_new(name, cpu_ns),
            Scope::Pid(_) => {
                let first = life.first_parent.map(|first| identity(first.entity_id.as_ref(), first.pid));
                let last = life.process.parent_pid;
                let last = last.map(|pid| identity(life.process.parent_entity_id.as_ref(), pid));
                self.rows.push(Row { id, parents: first.into_iter().chain(last).collect(), name, cpu_ns });
            }
        }
    }

    /// The number of lives that are kept in memory.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.rows.len() + self.ended.len()
    }

    fn add_new(&mut self, name: String, cpu_ns: u64) {
        self.came_and_went += 1;
        let used = self.used.entry(name).or_default();
        used.processes += 1;
        used.exec_runtime_ns = used.exec_runtime_ns.saturating_add(cpu_ns);
    }

    /// Compares the trees of both times.
    #[must_use]
    pub fn finish(mut self, before: &Tree, after: &Tree) -> Difference {
        let (old, new) = (members(before, &self.scope), members(after, &self.scope));
        let mut inside: HashSet<String> = old.keys().chain(new.keys()).map(|(_, id)| id.clone()).collect();
        self.add_rows(&mut inside);
        let mut difference = Difference { came_and_went: self.came_and_went, ..Difference::default() };
        for (key, member) in &old {
            match new.get(key) {
                None => difference.gone.push(self.gone(&key.1, member)),
                Some(now) => difference.moved.extend(moved(member, now)),
            }
        }
        for (_, member) in new.iter().filter(|(key, _)| !old.contains_key(key)) {
            let spent = member.node.spent.as_ref().and_then(|spent| spent.usage_so_far);
            let used = self.used.entry(member.node.name.clone().unwrap_or_default()).or_default();
            used.processes += 1;
            let ns = spent.map_or(0, |usage| usage.figures.exec_runtime_ns);
            used.exec_runtime_ns = used.exec_runtime_ns.saturating_add(ns);
            difference.new.push(NewProcess {
                process: to_ref(member.node),
                parent: member.parent.clone(),
                place: member.place.clone(),
            });
        }
        difference.used = self.used.into_iter().map(|(name, used)| UsedByName { name, ..used }).collect();
        let key = |used: &UsedByName| used.exec_runtime_ns.max(used.older_exec_runtime_ns);
        difference
            .used
            .sort_by(|one, other| key(other).cmp(&key(one)).then_with(|| one.name.cmp(&other.name)));
        difference
    }

    /// Adds the rows of descendants of processes that are inside.
    fn add_rows(&mut self, inside: &mut HashSet<String>) {
        let rows = std::mem::take(&mut self.rows);
        let parents: HashMap<&str, &[String]> =
            rows.iter().map(|row| (row.id.as_str(), row.parents.as_slice())).collect();
        let mut outside: HashSet<&str> = HashSet::new();
        for row in &rows {
            let (mut chain, mut next) = (Vec::new(), vec![row.id.as_str()]);
            let mut is_in = false;
            while let Some(id) = next.pop() {
                if inside.contains(id) {
                    is_in = true;
                    break;
                }
                if outside.contains(id) || chain.contains(&id) {
                    continue;
                }
                chain.push(id);
                next.extend(parents.get(id).into_iter().copied().flatten().map(String::as_str));
            }
            if is_in {
                inside.insert(row.id.clone());
            } else {
                outside.extend(chain);
            }
        }
        for row in rows {
            if inside.contains(&row.id) {
                self.add_new(row.name, row.cpu_ns);
            }
        }
    }

    fn gone(&mut self, id: &str, member: &Member<'_>) -> GoneProcess {
        let life = self.ended.remove(id);
        if let Some(life) = &life {
            let used = self.used.entry(life.process.name.clone().unwrap_or_default()).or_default();
            used.older_processes += 1;
            let ns = life.usage.map_or(0, |usage| usage.figures.exec_runtime_ns);
            used.older_exec_runtime_ns = used.older_exec_runtime_ns.saturating_add(ns);
        }
        GoneProcess {
            process: to_ref(member.node),
            death: life.as_ref().map(|life| Box::new(Death::of_life(life))),
            place: member.place.clone(),
        }
    }
}

fn moved(before: &Member<'_>, after: &Member<'_>) -> Option<MovedProcess> {
    let (old, new) = (before.parent.as_ref()?, after.parent.as_ref()?);
    let is_same = old.pid == new.pid && (old.entity_id.is_none() || old.entity_id == new.entity_id);
    (!is_same).then(|| MovedProcess {
        process: to_ref(after.node),
        old_parent: old.clone(),
        new_parent: new.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(u32, u32, u32)]) -> Tree {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(depth, pid, parent)| {
                serde_json::json!({"depth": depth, "pid": pid, "parent_pid": parent, "entity_id": format!("b-{pid}-5"),
                    "name": format!("n{pid}"), "kind": "process", "state": "running", "threads": 1})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"@timestamp": "x", "boottime_ns": 1, "processes": nodes}))
            .unwrap()
    }

    fn life(pid: u32, parent: u32, start: &str, end: &str) -> LifeRecord {
        serde_json::from_value(serde_json::json!({"@timestamp": end, "life_version": 1, "start_timestamp": start,
            "process": {"pid": pid, "name": "job", "entity_id": format!("b-{pid}-5"), "parent_pid": parent,
                "parent_entity_id": format!("b-{parent}-5"), "exit": {"status": 0, "code": 0}},
            "boottime_ns": 9, "execs": 0, "death": {"cause": "exited", "certainty": "certain"}, "provenance": "observed",
            "usage": {"exec_runtime_ns": 7, "run_delay_ns": 0, "run_count": 1, "user_ns": 7, "system_ns": 0,
                "voluntary_switches": 0, "involuntary_switches": 0, "minor_faults": 0, "major_faults": 0, "tasks": 1}}))
        .unwrap()
    }

    const TIMES: [&str; 4] = [
        "2026-11-29T01:00:00.000Z",
        "2026-11-29T02:00:00.000Z",
        "2026-11-29T03:00:00.000Z",
        "2026-11-29T04:00:00.000Z",
    ];

    fn ms(text: &str) -> i64 {
        (crate::answer::time_arg::wall_ns(text).unwrap() / 1_000_000) as i64
    }

    fn compare(scope: Scope) -> Difference {
        let before = tree(&[(0, 1, 0), (1, 10, 1), (2, 11, 10), (2, 12, 10), (1, 20, 1)]);
        let after = tree(&[(0, 1, 0), (1, 11, 1), (1, 10, 1), (2, 13, 10), (1, 21, 1)]);
        let mut maker = DifferenceMaker::new(scope, ms(TIMES[1]), ms(TIMES[3]));
        // Older, below 10; a child of 13 and a child of that; one of 20; one that ended before.
        for (pid, parent, start, end) in
            [(12, 10, 0, 2), (99, 98, 2, 2), (98, 13, 2, 3), (97, 20, 2, 3), (96, 10, 0, 0), (20, 1, 0, 3)]
        {
            maker.add(life(pid, parent, TIMES[start], TIMES[end]));
        }
        maker.finish(&before, &after)
    }

    fn pids<T>(all: &[T], of: impl Fn(&T) -> u32) -> Vec<u32> {
        all.iter().map(of).collect()
    }

    #[test]
    fn what_is_new_gone_and_moved_is_found_with_what_was_used_in_between() {
        let found = compare(Scope::All);
        assert_eq!(pids(&found.new, |it| it.process.pid), [13, 21]);
        assert_eq!(pids(&found.gone, |it| it.process.pid), [12, 20]);
        assert!(found.gone.iter().all(|gone| gone.death.is_some()));
        assert_eq!(pids(&found.moved, |it| it.process.pid), [11]);
        assert_eq!((found.moved[0].old_parent.pid, found.moved[0].new_parent.pid), (10, 1));
        assert_eq!(found.came_and_went, 3);
        let job = found.used.iter().find(|used| used.name == "job").unwrap();
        assert_eq!((job.processes, job.exec_runtime_ns), (3, 21));
        assert_eq!((job.older_processes, job.older_exec_runtime_ns), (2, 14));
    }

    #[test]
    fn a_subtree_has_its_descendants_of_the_time_in_between() {
        let found = compare(Scope::Pid(10));
        assert_eq!(pids(&found.new, |it| it.process.pid), [13]);
        // It left the subtree.
        assert_eq!(pids(&found.gone, |it| it.process.pid), [11, 12]);
        assert_eq!(found.came_and_went, 2, "those below 13, also the one whose parent ended later");
    }

    #[test]
    fn the_same_tree_has_no_difference() {
        let one = tree(&[(0, 1, 0), (1, 10, 1)]);
        let found = DifferenceMaker::new(Scope::All, 0, 1).finish(&one, &one);
        assert_eq!(found, Difference::default());
    }
}
