//! Reads from /proc the tasks that the kernel's iterator does not show.

use super::hidden::Seen;
use crate::{
    kernel::clock::boottime,
    lineage::{
        TaskState,
        flags::{EXIT_DEAD, EXIT_ZOMBIE},
        id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
        record::{Comm, ExitParts, Fact, Record, Snapshot, SnapshotSource, TaskPlace},
    },
    procfs::{ProcfsError, Stat},
    runtime::{EventSink, Pipeline, records::apply_record},
};

/// The only group that kernels are known to hide from their own iterators.
const INIT: Tgid = Tgid(1);

/// How many tasks are read from /proc before the ring is polled again.
const TASKS_A_TURN: usize = 512;

/// How many thread groups are read from /proc and then applied together.
const GROUPS_A_PIECE: usize = 256;

/// Which tasks a reading of /proc may report.
#[derive(Clone, Copy)]
pub(super) struct ForkCutoffs {
    /// Tasks that a record of their own has shown are reported if they were forked before this time.
    pub(super) begun: Ktime,
    /// Other tasks are reported if they were forked before this time.
    pub(super) horizon: Ktime,
}

/// A thread group as /proc shows it.
struct Shown {
    tgid: Tgid,
    tids: Vec<Tid>,
    /// Each task with the time just before it was read.
    stats: Vec<(Tid, Ktime, Stat)>,
}

impl Pipeline {
    /// Reads `groups` from /proc: the groups that the iterator did not show. The caller has handled every record older than
    /// `cutoffs.horizon`. A start time from /proc is rounded down to 10 ms; a later record replaces it by the exact one. `is_whole`
    /// says that the iterator reached its end.
    pub(super) fn complete(
        &mut self,
        mut groups: Vec<Tgid>,
        cutoffs: ForkCutoffs,
        is_whole: bool,
        sink: &mut impl EventSink,
    ) -> Result<(), ProcfsError> {
        groups.retain(|&tgid| !self.is_born_since(tgid, cutoffs.begun));
        if is_whole {
            let older = self.older_than(&groups, cutoffs.begun)?;
            self.update_hidden(&older);
        }
        for piece in groups.chunks(GROUPS_A_PIECE) {
            self.complete_groups(piece, cutoffs, sink)?;
        }
        Ok(())
    }

    /// Returns whether a record has reported the group's fork since `begun`. In a storm of forks, this is true for most groups
    /// that only /proc shows.
    fn is_born_since(&self, tgid: Tgid, begun: Ktime) -> bool {
        let start = self.lineage.group(tgid).and_then(|group| group.key().start);
        start.is_some_and(|start| start >= begun)
    }

    /// Returns the groups that are older than the reading: the iterator must have shown them.
    fn older_than(&self, groups: &[Tgid], begun: Ktime) -> Result<Vec<Seen>, ProcfsError> {
        let mut older = Vec::new();
        for &tgid in groups {
            let found = self.procfs.stat(tgid)?.filter(|stat| self.procfs.start_of(stat).1 <= begun);
            older.extend(found.map(|stat| (tgid, stat.start_ticks)));
        }
        Ok(older)
    }

    /// Reads some groups. Applies what was read after every record older than the reading is handled, so that records in flight
    /// are not counted as missed.
    fn complete_groups(
        &mut self,
        groups: &[Tgid],
        cutoffs: ForkCutoffs,
        sink: &mut impl EventSink,
    ) -> Result<(), ProcfsError> {
        let mut read = Vec::with_capacity(groups.len());
        let mut turn = 0;
        for &tgid in groups {
            let tids = self.procfs.tasks(tgid)?;
            let mut stats = Vec::with_capacity(tids.len());
            for &tid in &tids {
                turn += 1;
                if turn % TASKS_A_TURN == 0 {
                    // Handle records so that the ring does not fill up while /proc is read.
                    self.handle_batch(sink);
                }
                let at = boottime();
                stats.extend(self.procfs.task_stat(tgid, tid)?.map(|stat| (tid, at, stat)));
            }
            read.push(Shown { tgid, tids, stats });
        }
        self.catch_up(sink);
        for Shown { tgid, tids, stats } in read {
            let mut leader = None;
            for (tid, at, stat) in &stats {
                let Some(task) = self.identity(tgid, *tid, stat, leader, cutoffs) else { continue };
                if task.is_leader() {
                    leader = Some(task.key.start);
                }
                self.found(*at, task, leader, tids.len(), stat);
            }
            if tgid == INIT {
                self.end_threads_of_init(&tids);
            }
            self.deliver(sink);
        }
        Ok(())
    }

    /// Returns groups that the iterator did not show. Listing all of /proc walks over every task again, which takes a tenth of
    /// the iterator's time. If the kernel's task count equals the number of tasks shown (plus those of init, if it is hidden),
    /// there are no others.
    pub(super) fn hidden_groups(&mut self, shown: &[Tid]) -> Result<Vec<Tgid>, ProcfsError> {
        let is_hidden = |tgid: &Tgid| shown.binary_search(&tgid.leader()).is_err();
        if !self.hides_others {
            let init = Some(INIT).filter(is_hidden);
            let of_init = init.map_or(Ok(0), |init| self.procfs.tasks(init).map(|tasks| tasks.len()))?;
            if self.procfs.count() == Some(shown.len() + of_init) {
                return Ok(init.into_iter().collect());
            }
        }
        let mut groups: Vec<Tgid> = self.procfs.groups()?.into_iter().filter(is_hidden).collect();
        // A kernel that hides some tasks may hide more: once any were found, counts are not relied upon.
        self.hides_others = groups.iter().any(|&group| group != INIT);
        // Parents come before their children, in nearly all cases.
        groups.sort_unstable();
        Ok(groups)
    }

    /// Returns the identity of a task in /proc; `None` if the task is too young to be reported.
    fn identity(
        &self,
        group: Tgid,
        task: Tid,
        found: &Stat,
        leader: Option<Ktime>,
        cutoffs: ForkCutoffs,
    ) -> Option<TaskRef> {
        if let Some(known) = self.lineage.task(task).map(|known| known.task)
            && known.tgid == group
            && self.procfs.began(found, known.key.start)
        {
            return (known.key.start < cutoffs.begun).then_some(known);
        }
        let (first, last) = self.procfs.start_of(found);
        if last > cutoffs.horizon {
            return None;
        }
        // A thread is not older than its leader.
        let start = leader.map_or(first, |leader| first.max(leader));
        Some(TaskRef { key: TaskKey { tid: task, start }, tgid: group })
    }

    /// Applies what /proc shows of a task.
    pub(in crate::runtime) fn found(
        &mut self,
        at: Ktime,
        task: TaskRef,
        leader: Option<Ktime>,
        tasks: usize,
        stat: &Stat,
    ) {
        let parent = self.lineage.task(Tgid(stat.ppid).leader()).map(|parent| parent.task);
        let exit_state = match stat.state {
            b'Z' => EXIT_ZOMBIE,
            b'X' | b'x' => EXIT_DEAD,
            _ => 0,
        };
        let snapshot = Snapshot {
            leader_start: leader,
            parent: parent.filter(|_| task.is_leader()),
            exit_state: Some(exit_state),
            exit_signal: stat.exit_signal,
            task_flags: Some(stat.flags),
            nr_threads: i32::try_from(tasks).ok(),
            // /proc shows a kernel worker under the name of its work, which may be longer than a comm.
            comm: (stat.comm.len() <= Comm::LONGEST).then(|| Comm::of_name(&stat.comm)),
            ..nothing_known(task)
        };
        self.complete_with(at, Box::new(snapshot));
    }

    /// Ends threads of init that /proc does not show. The kernel hides them from its iterator, so only /proc can show that one is
    /// gone.
    fn end_threads_of_init(&mut self, present: &[Tid]) {
        let Some(init) = self.lineage.group(INIT) else { return };
        let gone: Vec<TaskRef> = init
            .threads()
            .filter(|thread| thread.state < TaskState::Zombie && !present.contains(&thread.task.key.tid))
            .map(|thread| thread.task)
            .collect();
        for task in gone.into_iter().filter(|task| !task.is_leader()) {
            let dead = Snapshot { exit_state: Some(EXIT_DEAD), ..nothing_known(task) };
            self.complete_with(boottime(), Box::new(dead));
        }
    }

    fn complete_with(&mut self, at: Ktime, snapshot: Box<Snapshot>) {
        self.counts.completed += 1;
        let record = Record { at, cpu: 0, fact: Fact::Snapshot(snapshot) };
        apply_record(&mut self.lineage, &mut self.counts, &record, at, &mut self.effects);
    }
}

const fn nothing_known(task: TaskRef) -> Snapshot {
    Snapshot {
        task,
        leader_start: None,
        source: SnapshotSource::Procfs,
        parent: None,
        tracer: None,
        exit_state: None,
        exit: ExitParts { exit_code: None, group: None },
        exit_signal: None,
        task_flags: None,
        nr_threads: None,
        state: None,
        place: TaskPlace { cgroup_id: None, namespace: None, credentials: None },
        comm: None,
        usage: None,
    }
}
