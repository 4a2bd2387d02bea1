//! Whether a process that has ended descended from another one.

use std::collections::HashMap;

use crate::{
    answer::LineageAt,
    lineage::{death::GroupDeath, id::GroupKey},
};

/// The most generations that are followed.
const MOST: usize = 64;

/// Processes with their descendants, by fork or by reparenting. Results for ancestors are cached, because thousands of ended processes
/// have few ancestors.
pub(super) struct Subtrees<'a> {
    pids: &'a [u32],
    lineage_at: &'a LineageAt<'a>,
    known: HashMap<GroupKey, bool>,
}

impl<'a> Subtrees<'a> {
    pub(super) fn new(pids: &'a [u32], lineage_at: &'a LineageAt<'a>) -> Self {
        Self { pids, lineage_at, known: HashMap::new() }
    }

    /// Whether an ended process is in one of the subtrees; true if no subtree was asked for.
    pub(super) fn have(&mut self, death: &GroupDeath) -> bool {
        if self.pids.is_empty() || self.pids.contains(&death.key.tgid.0) {
            return true;
        }
        let life = self.lineage_at.lineage.life_by_key(death.key, self.lineage_at.now);
        let first_parent = life.and_then(|life| life.first_parent);
        [death.parent, first_parent].into_iter().flatten().any(|key| self.have_ancestor(key))
    }

    fn have_ancestor(&mut self, mut key: GroupKey) -> bool {
        let mut path = Vec::new();
        let found = loop {
            if let Some(&known) = self.known.get(&key) {
                break known;
            }
            if path.len() >= MOST {
                break false;
            }
            path.push(key);
            if self.pids.contains(&key.tgid.0) {
                break true;
            }
            let life = self.lineage_at.lineage.life_by_key(key, self.lineage_at.now);
            match life.and_then(|life| life.first_parent.or(life.parent)) {
                Some(parent) if parent != key && parent.tgid.0 != 0 => key = parent,
                _ => break false,
            }
        };
        self.known.extend(path.into_iter().map(|key| (key, found)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{
        Config, Lineage,
        id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
        record::{Comm, Fact, New, Record, TaskPlace},
    };

    fn task(pid: u32) -> TaskRef {
        TaskRef { key: TaskKey { tid: Tid(pid), start: Ktime(u64::from(pid) * 10) }, tgid: Tgid(pid) }
    }

    #[test]
    fn each_ancestor_is_looked_up_once() {
        let mut lineage = Lineage::new(Config::default());
        for pid in 1..=40 {
            let at = Ktime(u64::from(pid) * 10);
            let new = New {
                task: task(pid),
                leader_start: Some(at),
                creator: Some(task(pid - 1)),
                parent: Some(task(pid - 1)),
                clone_flags: Some(0),
                exit_signal: Some(17),
                task_flags: Some(0),
                place: TaskPlace::default(),
                comm: Some(Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
            };
            lineage.apply(&Record { at, cpu: 0, fact: Fact::New(new) }, at, &mut Vec::new());
        }
        let lineage_at = LineageAt { lineage: &lineage, now: Ktime(1000), observed_since: None };
        let mut subtrees = Subtrees::new(&[20], &lineage_at);
        for pid in (1..=40).rev().chain(1..=40) {
            let key = GroupKey { tgid: Tgid(pid), start: Some(task(pid).key.start) };
            assert_eq!(subtrees.have_ancestor(key), pid >= 20, "{pid}");
        }
        assert_eq!(subtrees.known.len(), 40);
    }
}
