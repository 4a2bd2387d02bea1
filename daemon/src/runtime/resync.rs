//! The tree compared with the kernel's tasks: at the start, after a loss, now and then. What differs is mended.

use super::{BATCH, Face, Pipeline, Why, hand_over};
use crate::{
    kernel::{clock::boottime, counters::Totals, snapshot::SnapshotError},
    lineage::{
        Lineage, TaskState,
        effect::Effect,
        flags::{EXIT_DEAD, EXIT_ZOMBIE},
        id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
        record::{Comm, ExitParts, Fact, Place, Record, Snapshot, SnapshotSource},
    },
    procfs::{NS_PER_TICK, ProcfsError, Sight, Stat},
};

/// After a comparison the next one comes this many times its duration later at the earliest: under lasting loss it then takes
/// a tenth of one CPU at most.
const REST: u64 = 10;

/// At least this long, ns.
const REST_AT_LEAST_NS: u64 = 1_000_000_000;

/// The only group that kernels are known to hide from their own iterators.
const INIT: Tgid = Tgid(1);

/// Which tasks a reading of /proc is to tell of.
#[derive(Clone, Copy)]
struct Span {
    /// Of those known by their own records, the ones born before this.
    begun: Ktime,
    /// Of the others, the ones born before this.
    horizon: Ktime,
}

impl Pipeline {
    /// Reads every task there is and mends the tree with it.
    pub(super) fn resync(&mut self, why: Why, face: &mut impl Face) {
        let begun = boottime();
        let before = *self.lineage.stats();
        self.lineage.begin_snapshot(begun);
        let outcome = self.read_all(begun, face);
        match outcome {
            Ok(()) => self.lineage.end_snapshot(boottime(), &mut self.effects),
            Err(reason) => {
                self.lineage.abandon_snapshot();
                self.mending.failed += 1;
                if !std::mem::replace(&mut self.told_blind, true) {
                    log::warn!("tasks cannot be compared with the kernel's: {reason}");
                }
            }
        }
        self.hand_on(face);
        let ended = boottime();
        let duration = ended.since(begun);
        // What was lost meanwhile is known to be lost, too.
        let all = |totals: &Totals| totals.all_lost() + totals.all_shed();
        let lost = self.observer.totals().map_or(0, |totals| all(&totals));
        let is_drift = matches!(why, Why::Doubt | Why::Audit) && lost == all(&self.counts.kernel);
        let why = if is_drift || why == Why::Start { why } else { Why::Loss };
        self.mending.add(why, &before, self.lineage.stats(), duration);
        self.resynced = ended;
        self.rest_until = Ktime(ended.0 + (REST * duration).max(REST_AT_LEAST_NS));
        log::debug!("compared with the kernel's tasks ({why:?}) in {} us", duration / 1000);
    }

    /// All tasks, by the iterator and from /proc. An error says why nothing can be concluded from who was not shown.
    fn read_all(&mut self, begun: Ktime, face: &mut impl Face) -> Result<(), String> {
        // In the order of tids.
        let mut shown: Vec<Tid> = Vec::new();
        let by_iterator = self.iterate(&mut shown, face);
        self.catch_up(face);
        let by_iterator = by_iterator.map(|differing| self.apply_all(&differing, face));
        let sight = self.procfs.sight();
        let completed = match sight {
            Sight::None => Ok(()),
            Sight::All | Sight::Partial => self.complete(begun, &shown, face),
        };
        match (by_iterator, sight) {
            // Who is hidden by both is told apart from who is gone by the next event only.
            (Ok(()), _) => completed.map_err(|error| error.to_string()),
            (Err(reason), Sight::None) => Err(format!("{reason}, and /proc is of another pid namespace")),
            (Err(reason), Sight::Partial) => Err(format!("{reason}, and /proc hides tasks (hidepid)")),
            (Err(_), Sight::All) => completed.map_err(|error| error.to_string()),
        }
    }

    /// What differs from the tree is given back, to be applied once the ring is empty: most of it only was under way.
    fn iterate(&mut self, shown: &mut Vec<Tid>, face: &mut impl Face) -> Result<Vec<Record>, String> {
        if !self.trust.iterator {
            return Err("the task iterator is not used".into());
        }
        let mut differing = Vec::new();
        let outcome = self.read_iterator(shown, &mut differing, face);
        shown.sort_unstable();
        match outcome {
            Ok(()) => Ok(differing),
            Err(error) => {
                self.apply_all(&differing, face);
                Err(error.to_string())
            }
        }
    }

    fn read_iterator(
        &mut self,
        shown: &mut Vec<Tid>,
        differing: &mut Vec<Record>,
        face: &mut impl Face,
    ) -> Result<(), SnapshotError> {
        let is_first = self.mending.resyncs == 0;
        let mut reading = self.observer.snapshot()?;
        loop {
            let Self { lineage, counts, effects, .. } = self;
            let read = reading.next(|record| match record {
                Ok(record) => {
                    counts.snapshot += 1;
                    let Fact::Snapshot(seen) = &record.fact else { return };
                    shown.push(seen.task.key.tid);
                    if is_first || agrees(lineage, seen) {
                        hand_over(lineage, counts, &record, record.at, effects);
                    } else {
                        differing.push(record);
                    }
                }
                Err(error) => {
                    counts.snapshot_undecoded += 1;
                    log::error!("task iterator: {error}");
                }
            })?;
            if read == 0 {
                return Ok(());
            }
            // What happens meanwhile must not fill the ring. At the start the tree is to be known first.
            if !is_first {
                self.turn();
                self.hand_on(face);
            }
        }
    }

    fn apply_all(&mut self, records: &[Record], face: &mut impl Face) {
        for piece in records.chunks(BATCH) {
            let Self { lineage, counts, effects, .. } = self;
            for record in piece {
                hand_over(lineage, counts, record, record.at, effects);
            }
            self.hand_on(face);
        }
    }

    /// Handles every record made before this moment. Bounded, whatever the kernel goes on to produce.
    fn catch_up(&mut self, face: &mut impl Face) {
        let until = boottime();
        while self.turn() == BATCH && self.drained_to < until {
            self.hand_on(face);
        }
    }

    /// Takes from /proc who is in none of the iterator's records. Start times are those of /proc, 10 ms coarse, until a record
    /// brings the exact one.
    fn complete(&mut self, begun: Ktime, shown: &[Tid], face: &mut impl Face) -> Result<(), ProcfsError> {
        let hidden = |tid: Tid| shown.binary_search(&tid).is_err();
        let mut groups: Vec<Tgid> =
            self.procfs.groups()?.into_iter().filter(|tgid| hidden(tgid.leader())).collect();
        // Parents before their children, nearly always.
        groups.sort_unstable();
        if groups.is_empty() {
            return Ok(());
        }
        // Whoever was born before is known by its own record, if that was not lost; whoever is younger than this is left
        // to it. At the start the hooks have been attached for longer than a tick by now.
        let sight = Span { begun, horizon: boottime() };
        self.catch_up(face);
        for tgid in groups {
            let mut leader = None;
            let tids = self.procfs.tasks(tgid)?;
            for &tid in &tids {
                let at = boottime();
                let Some(stat) = self.procfs.task_stat(tgid, tid)? else { continue };
                let Some(task) = self.whom(tgid, tid, stat.start_ticks, leader, sight) else { continue };
                if task.is_leader() {
                    leader = Some(task.key.start);
                }
                self.found(at, task, leader, tids.len(), &stat);
            }
            if tgid == INIT {
                self.end_threads_of_init(&tids);
            }
            // Between the groups, so that the ring does not fill up meanwhile; what it says is older than the next stat.
            self.catch_up(face);
        }
        Ok(())
    }

    /// The identity of a task in /proc; `None` if it is too young to need telling.
    fn whom(
        &self,
        group: Tgid,
        task: Tid,
        ticks: u64,
        leader: Option<Ktime>,
        sight: Span,
    ) -> Option<TaskRef> {
        if let Some(known) = self.lineage.task(task).map(|known| known.task)
            && known.tgid == group
            && is_within_tick(known.key.start, ticks)
        {
            return (known.key.start < sight.begun).then_some(known);
        }
        let floor = ticks * NS_PER_TICK;
        if floor + NS_PER_TICK > sight.horizon.0 {
            return None;
        }
        // A thread is not older than its leader.
        let start = Ktime(leader.map_or(floor, |leader| floor.max(leader.0)));
        Some(TaskRef { key: TaskKey { tid: task, start }, tgid: group })
    }

    fn found(&mut self, at: Ktime, task: TaskRef, leader: Option<Ktime>, tasks: usize, stat: &Stat) {
        let parent = self.lineage.task(Tgid(stat.ppid).leader()).map(|parent| parent.task);
        let exit_state = match stat.state {
            b'Z' => EXIT_ZOMBIE,
            b'X' | b'x' => EXIT_DEAD,
            _ => 0,
        };
        let mut comm = Comm::default();
        for (to, from) in comm.0.iter_mut().take(15).zip(&stat.comm) {
            *to = *from;
        }
        let snapshot = Snapshot {
            leader_start: leader,
            parent: parent.filter(|_| task.is_leader()),
            exit_state: Some(exit_state),
            exit_signal: stat.exit_signal,
            task_flags: Some(stat.flags),
            nr_threads: i32::try_from(tasks).ok(),
            // /proc shows a kernel worker under the name of its work, which may be longer.
            comm: (stat.comm.len() <= 15).then_some(comm),
            ..nothing_known(task)
        };
        self.complete_with(at, Box::new(snapshot));
    }

    /// The kernel hides these from its iterator, so that a missing one says nothing there: /proc alone tells.
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
        hand_over(&mut self.lineage, &mut self.counts, &record, at, &mut self.effects);
    }
}

/// Whether a snapshot of a task tells nothing that a record on its way could have told.
fn agrees(lineage: &Lineage, seen: &Snapshot) -> bool {
    let Some(known) = lineage.task(seen.task.key.tid) else { return false };
    let is_dead = seen.exit_state.is_some_and(|state| state != 0);
    let same_parent = || {
        let parent = lineage.group(seen.task.tgid).and_then(|group| group.parent());
        parent.map(|parent| parent.key().tgid) == seen.parent.map(|parent| parent.tgid)
    };
    known.task == seen.task
        && (!is_dead || known.state >= TaskState::Zombie)
        && (seen.comm.is_none() || known.thread.name == seen.comm)
        && (!seen.task.is_leader() || same_parent())
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
        place: Place { cgroup_id: None, namespace: None, credentials: None },
        comm: None,
        usage: None,
    }
}

/// /proc rounds a start down to ticks.
const fn is_within_tick(start: Ktime, ticks: u64) -> bool {
    start.0 / NS_PER_TICK == ticks
}

/// A face before there is one: keeps all for the first.
#[derive(Default)]
pub(super) struct Kept(pub(super) Vec<Effect>);

impl Face for Kept {
    fn take(&mut self, effects: &[Effect], _: &Lineage) {
        self.0.extend_from_slice(effects);
    }

    fn lost(&mut self, _: u64) {}
}
