//! Differences that an audit puts off, because a record that is still to be made may explain them.
//!
//! `copy_process()` puts a new task into the task list, and `exit_notify()` sets `exit_state`, under `tasklist_lock`. A hook
//! behind that lock makes its record later: the task can be preempted as soon as it lets go of the lock. A snapshot in between
//! shows a birth or a death of which there is no record yet, and nothing is lost. So an audit applies such a difference only if
//! the audit before found it as well; after an audit that put one off, the next comes as soon as comparisons may.

use std::collections::HashSet;

use crate::lineage::{
    Lineage, TaskState,
    id::TaskKey,
    record::{Fact, Record, Snapshot},
};

/// Births and deaths of the last audit that no record had told of.
#[derive(Debug, Default)]
pub(in crate::runtime) struct PutOff {
    tasks: HashSet<TaskKey>,
}

impl PutOff {
    /// Whether an audit is due that settles what the last one put off.
    pub(in crate::runtime) fn is_due(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// A comparison of all tasks has ended, or begins after a known loss: nothing is put off any more.
    pub(super) fn clear(&mut self) {
        self.tasks.clear();
    }

    /// Takes out of an audit's differing records those that it puts off: births and deaths that are seen for the first time, and
    /// children of such a birth. An audit that settles what the last one put off puts nothing else off, so that audits do not
    /// follow each other for ever; what it finds new is left to the next. Answers how many it took.
    pub(super) fn take(&mut self, lineage: &mut Lineage, differing: &mut Vec<Record>) -> usize {
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
        record::{Comm, ExitParts, Place, SnapshotSource},
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
            place: Place::default(),
            comm: Some(Comm(*b"child\0\0\0\0\0\0\0\0\0\0\0")),
            usage: None,
        };
        Record { at: Ktime(0), cpu: 0, fact: Fact::Snapshot(Box::new(seen)) }
    }

    /// The tree and what comparisons with it put off.
    struct Audits {
        lineage: Lineage,
        put_off: PutOff,
        now: Ktime,
    }

    impl Audits {
        fn after_start() -> Self {
            let mut audits = Self {
                lineage: Lineage::new(Config::default()),
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

        /// The kinds of the effects of an audit that shows these.
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
