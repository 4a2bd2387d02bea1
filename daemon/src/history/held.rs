//! Lives that were released before their last figures arrived.
//!
//! By kprobe and fentry, a parent on another CPU can reap a child before the record of the child's death and that of its last switch
//! are written. The lineage completes such a life in memory when they arrive. Its line is written at the next poll after that.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    cgroup::Place,
    history::batch::HistoryLine,
    lineage::{
        Life,
        id::{GroupKey, Ktime},
    },
};

/// How long a life is held, ns. Records follow within microseconds, on emulated CPUs within milliseconds; after this time they are
/// taken for lost.
const HELD_NS: u64 = 2_000_000_000;

/// The most lives that are held. After a loss of records many lives stay incomplete.
const MOST: usize = 4096;

/// A life whose line is not written yet.
struct HeldLife {
    life: Arc<Life>,
    place: Option<Arc<Place>>,
}

/// Lives whose lines are not written yet, in the order of their releases.
#[derive(Default)]
pub(super) struct Held(VecDeque<HeldLife>);

/// Whether figures of a life can still arrive.
pub(super) fn lacks_figures(life: &Life) -> bool {
    life.usage.is_some_and(|usage| !usage.is_exact())
}

impl Held {
    /// Holds a life. Returns the line of the oldest one if too many are held.
    pub(super) fn hold(&mut self, life: Arc<Life>, place: Option<Arc<Place>>) -> Option<HistoryLine> {
        let oldest = if self.0.len() >= MOST { self.0.pop_front() } else { None };
        self.0.push_back(HeldLife { life, place });
        oldest.map(HeldLife::line)
    }

    /// Returns the lines of lives that are complete in memory, or that were held long enough. `newest` returns a life as it is in
    /// memory, or none if it is forgotten.
    pub(super) fn due(&mut self, now: Ktime, newest: impl Fn(GroupKey) -> Option<Life>) -> Vec<HistoryLine> {
        let mut lines = Vec::new();
        self.0.retain_mut(|held| {
            let known = newest(held.life.key);
            let is_due = known.as_ref().is_none_or(|life| !lacks_figures(life))
                || now.since(held.life.since) >= HELD_NS;
            if is_due {
                lines.push(held.take_line(known));
            }
            !is_due
        });
        lines
    }

    /// Returns the lines of all lives, as they are.
    pub(super) fn all(&mut self) -> Vec<HistoryLine> {
        self.0.drain(..).map(HeldLife::line).collect()
    }
}

impl HeldLife {
    fn line(self) -> HistoryLine {
        HistoryLine::Life(self.life, self.place)
    }

    /// Returns the line of the newest state of this life.
    fn take_line(&mut self, newest: Option<Life>) -> HistoryLine {
        let life = match newest {
            // Memory does not keep what a process was before its exec.
            Some(newest) => {
                let before_exec = self.life.before_exec.clone();
                Arc::new(Life { before_exec: newest.before_exec.or(before_exec), ..newest })
            }
            None => Arc::clone(&self.life),
        };
        HistoryLine::Life(life, self.place.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{
        Config, GroupUsage, Lineage,
        id::{TaskKey, TaskRef, Tgid, Tid},
        record::{Fact, New, Record, TaskPlace},
    };

    /// A process whose figures lack those of `pending` tasks.
    fn life(pid: u32, pending: u32) -> Life {
        let start = Ktime(u64::from(pid));
        let task = TaskRef { key: TaskKey { tid: Tid(pid), start }, tgid: Tgid(pid) };
        let new = New {
            task,
            leader_start: Some(start),
            creator: None,
            parent: None,
            clone_flags: Some(0),
            exit_signal: Some(17),
            task_flags: Some(0),
            place: TaskPlace::default(),
            comm: None,
        };
        let mut lineage = Lineage::new(Config::default());
        lineage.apply(&Record { at: start, cpu: 0, fact: Fact::New(new) }, start, &mut Vec::new());
        let key = GroupKey { tgid: Tgid(pid), start: Some(start) };
        let usage = Some(GroupUsage { tasks: 1, pending, ..GroupUsage::default() });
        Life { usage, ..lineage.life_by_key(key, start).unwrap() }
    }

    fn pids(lines: &[HistoryLine]) -> Vec<(u32, bool)> {
        let pid = |line: &HistoryLine| match line {
            HistoryLine::Life(life, _) => Some((life.key.tgid.0, lacks_figures(life))),
            _ => None,
        };
        lines.iter().filter_map(pid).collect()
    }

    #[test]
    fn a_life_is_held_until_it_is_complete_forgotten_or_overdue() {
        let mut held = Held::default();
        for pid in 1..=3 {
            assert!(held.hold(Arc::new(life(pid, 1)), None).is_none());
        }
        // The first is complete now, the second is forgotten, the third is as it was.
        let newest = |key: GroupKey| match key.tgid.0 {
            1 => Some(life(1, 0)),
            2 => None,
            pid => Some(life(pid, 1)),
        };
        assert_eq!(pids(&held.due(Ktime(100), newest)), [(1, false), (2, true)]);
        assert!(held.due(Ktime(HELD_NS), newest).is_empty());
        assert_eq!(pids(&held.due(Ktime(HELD_NS + 3), newest)), [(3, true)]);
        assert!(held.all().is_empty());
    }

    #[test]
    fn of_too_many_lives_the_oldest_is_written_as_it_is() {
        let mut held = Held::default();
        let lines: Vec<_> =
            (1..=MOST as u32 + 2).filter_map(|pid| held.hold(Arc::new(life(pid, 1)), None)).collect();
        assert_eq!(pids(&lines), [(1, true), (2, true)]);
        assert_eq!(held.all().len(), MOST);
    }
}
