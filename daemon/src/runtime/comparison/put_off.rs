//! Puts off differences that an audit finds and that a record in flight may still explain.
//!
//! `copy_process()` puts a new task into the task list, and `exit_notify()` sets `exit_state`, under `tasklist_lock`. A hook
//! behind that lock makes its record later: the task can be preempted as soon as it has released the lock. A snapshot in between
//! shows a fork or a death that has no record yet, although nothing is lost. So an audit applies such a difference only if the
//! audit before found it too. After an audit that put a difference off, the next audit runs as soon as a comparison is allowed.

use std::collections::HashSet;

use crate::{
    lineage::{
        Lineage, TaskState,
        id::TaskKey,
        record::{Fact, Record, Snapshot},
    },
    runtime::RecordedLineage,
};

/// Forks and deaths that the last audit found and that had no record.
#[derive(Debug, Default)]
pub(in crate::runtime) struct PutOff {
    tasks: HashSet<TaskKey>,
}

impl PutOff {
    /// Whether an audit is due that decides about the differences that the last one put off.
    pub(in crate::runtime) fn is_due(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Forgets all differences that were put off, because a comparison has ended or begins after a known loss.
    pub(super) fn clear(&mut self) {
        self.tasks.clear();
    }

    /// Removes from `differing` the records that the audit puts off: forks and deaths that it finds for the first time, and
    /// children of such a fork. An audit that decides about the differences of the last audit puts off no new ones, because that
    /// would lead to one audit after the other; it leaves new differences to the next regular audit. Returns how many records it
    /// removed.
    pub(super) fn take(&mut self, lineage: &mut RecordedLineage, differing: &mut Vec<Record>) -> usize {
        let settles = self.is_due();
        let before = std::mem::take(&mut self.tasks);
        let is_new = |seen: &Snapshot| {
            !before.contains(&seen.task.key)
                && (!lineage.knows(seen.task.key) || is_unseen_death(lineage, seen))
        };
        let put_off: HashSet<TaskKey> = differing
            .iter()
            .filter_map(shown)
            .filter(|seen| is_new(seen))
            .map(|seen| seen.task.key)
            .collect();
        let found = differing.len();
        differing.retain(|record| {
            let Some(seen) = shown(record) else { return true };
            let parent = seen.parent.map(|parent| parent.key);
            let is_put_off =
                put_off.contains(&seen.task.key) || parent.is_some_and(|parent| put_off.contains(&parent));
            if is_put_off {
                lineage.show_unchanged(seen.task.key);
            }
            !is_put_off
        });
        if !settles {
            self.tasks = put_off;
        }
        found - differing.len()
    }
}

fn shown(record: &Record) -> Option<&Snapshot> {
    if let Fact::Snapshot(seen) = &record.fact { Some(seen) } else { None }
}

fn is_unseen_death(lineage: &Lineage, seen: &Snapshot) -> bool {
    let is_dead = seen.exit_state.is_some_and(|state| state != 0);
    is_dead && lineage.task(seen.task.key.tid).is_some_and(|known| known.state < TaskState::Zombie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{
        Config,
        effect::Effect,
        flags::EXIT_ZOMBIE,
        id::{Ktime, TaskRef, Tgid, Tid},
        record::{Comm, ExitParts, SnapshotSource, TaskPlace},
    };

    fn task(tid: u32) -> TaskRef {
        TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(u64::from(tid)) }, tgid: Tgid(tid) }
    }

    fn snapshot(of: u32, parent: u32, exit_state: u32) -> Record {
        let seen = Snapshot {
            task: task(of),
            leader_start: None,
            source: SnapshotSource::Iterator,
            parent: Some(task(parent)),
            tracer: None,
            exit_state: Some(exit_state),
            exit: ExitParts::default(),
            exit_signal: None,
            task_flags: Some(0),
            nr_threads: Some(1),
            state: None,
            place: TaskPlace::default(),
            comm: Some(Comm(*b"child\0\0\0\0\0\0\0\0\0\0\0")),
            usage: None,
        };
        Record { at: Ktime(0), cpu: 0, fact: Fact::Snapshot(Box::new(seen)) }
    }

    /// A lineage and the differences that audits of it put off.
    struct Audits {
        lineage: RecordedLineage,
        put_off: PutOff,
        now: Ktime,
    }

    impl Audits {
        fn after_start() -> Self {
            let mut audits = Self {
                lineage: RecordedLineage::new(Config::default(), None),
                put_off: PutOff::default(),
                now: Ktime(1_000),
            };
            audits.lineage.begin_snapshot(audits.now);
            audits.apply(&[snapshot(1, 0, 0), snapshot(20, 1, 0)]);
            audits
        }

        fn apply(&mut self, records: &[Record]) -> Vec<Effect> {
            let mut effects = Vec::new();
            self.now.0 += 1;
            for record in records {
                let record = Record { at: self.now, ..record.clone() };
                self.lineage.apply(&record, self.now, &mut effects);
            }
            self.now.0 += 1;
            self.lineage.end_snapshot(self.now, &mut effects);
            effects
        }

        /// Runs an audit with these records and returns the kinds of its effects.
        fn audit(&mut self, mut differing: Vec<Record>) -> Vec<&'static str> {
            self.now.0 += 1;
            self.lineage.begin_snapshot(self.now);
            self.put_off.take(&mut self.lineage, &mut differing);
            self.apply(&differing).iter().map(|effect| effect.action.kind().name()).collect()
        }
    }
    #[test]
    fn a_birth_that_no_record_reported_is_missed_only_if_two_audits_find_it() {
        let mut audits = Audits::after_start();
        let all = || vec![snapshot(1, 0, 0), snapshot(20, 1, 0), snapshot(30, 20, 0)];
        assert_eq!(audits.audit(all()), Vec::<&str>::new());
        assert!(audits.put_off.is_due());
        assert_eq!(audits.lineage.stats().missed_forks, 0);
        assert_eq!(audits.audit(all()), ["forked"]);
        assert!(!audits.put_off.is_due());
        assert_eq!(audits.lineage.stats().missed_forks, 1);
    }

    #[test]
    fn a_death_that_no_record_reported_is_missed_only_if_two_audits_find_it() {
        let mut audits = Audits::after_start();
        let all = || vec![snapshot(1, 0, 0), snapshot(20, 1, EXIT_ZOMBIE)];
        assert_eq!(audits.audit(all()), Vec::<&str>::new());
        let stats = audits.lineage.stats();
        assert_eq!((stats.missed_exits, stats.missed_releases), (0, 0), "it was shown");
        audits.audit(all());
        assert_eq!(audits.lineage.stats().missed_exits, 1);
        assert_eq!(audits.lineage.zombies().count(), 1);
    }

    #[test]
    fn children_of_a_birth_that_is_put_off_are_put_off_with_it() {
        let mut audits = Audits::after_start();
        let all = || vec![snapshot(1, 0, 0), snapshot(15, 1, 0), snapshot(20, 15, 0)];
        audits.audit(all());
        let stats = audits.lineage.stats();
        assert_eq!((stats.missed_forks, stats.missed_releases, stats.implied), (0, 0, 0));
        audits.audit(all());
        assert_eq!(audits.lineage.stats().missed_forks, 1);
        let parent =
            audits.lineage.group(Tgid(20)).and_then(|group| group.parent().map(|parent| parent.key()));
        assert_eq!(parent.map(|parent| parent.tgid), Some(Tgid(15)));
    }

    #[test]
    fn an_audit_that_settles_puts_nothing_off() {
        let mut audits = Audits::after_start();
        audits.audit(vec![snapshot(1, 0, 0), snapshot(20, 1, 0), snapshot(30, 20, 0)]);
        audits.audit(vec![snapshot(1, 0, 0), snapshot(20, 1, 0), snapshot(40, 20, 0)]);
        assert!(!audits.put_off.is_due());
        assert_eq!(audits.lineage.stats().missed_forks, 0);
    }
}
