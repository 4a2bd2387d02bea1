//! Compares the tree with the kernel's tasks, at the start, after a loss and at audits, and repairs differences.

use probe_common::Kind;

use super::completion::ForkCutoffs;
use crate::{
    kernel::{clock::boottime, counters::Totals, snapshot::SnapshotError},
    lineage::{
        Lineage, TaskState,
        effect::Effect,
        id::{Ktime, Tid},
        record::{Fact, Record, Snapshot},
    },
    procfs::Sight,
    runtime::{
        EventSink, LossPlace, Pipeline, Why,
        polling::poll_schedule::BATCH,
        records::{apply_record, count_many},
    },
};

/// After a comparison the next one waits for this many times the comparison's own duration, so that under lasting loss
/// comparisons take at most a tenth of one CPU. Time spent on records in between does not count.
const BACKOFF_FACTOR: u64 = 10;

/// The shortest wait, ns.
const BACKOFF_AT_LEAST_NS: u64 = 1_000_000_000;

/// The longest wait, ns.
const BACKOFF_AT_MOST_NS: u64 = 60_000_000_000;

/// After failures in a row the wait doubles, this many times at most: where comparisons never succeed, one is tried each minute.
const LONGEST_BACKOFF: u32 = 6;

/// During a comparison, a batch of records is handled after each this many ns of reading tasks. That is once for some thousand
/// tasks, so a slow reader of events does not delay the comparison much; once for each read of the iterator would be once for 150
/// tasks.
const READ_NS: u64 = 2_000_000;

/// The most time that a comparison spends on handling records between reads, ns. Without a limit it might never end: if records
/// come faster than they are handled, the ring is never empty. The other records are handled after the comparison has read all
/// tasks.
const HANDLE_AT_MOST_NS: u64 = 1_000_000_000;

impl Pipeline {
    /// Reads all tasks and repairs the tree with them.
    pub(in crate::runtime) fn resync(&mut self, why: Why, sink: &mut impl EventSink) {
        let begun = boottime();
        let before = *self.lineage.stats();
        let (handling_ns, uncompared) = (self.handling_ns, self.uncompared);
        self.lineage.begin_snapshot(begun);
        if matches!(why, Why::Start | Why::Loss) {
            self.put_off.clear();
        }
        let outcome = self.read_all(why, begun, sink);
        let is_whole = outcome.is_ok();
        match outcome {
            Ok(()) => {
                self.lineage.end_snapshot(boottime(), &mut self.effects);
                self.uncompared = self.uncompared.saturating_sub(uncompared);
                self.failed_in_a_row = 0;
                if std::mem::take(&mut self.reported_blind) {
                    log::warn!("tasks can be compared with the kernel's again");
                }
            }
            Err(reason) => {
                self.lineage.abandon_snapshot();
                self.repairs.failed += 1;
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                // The tree still differs, so the comparison is tried again, at growing intervals.
                self.resync_due |= matches!(why, Why::Start | Why::Loss);
                if !std::mem::replace(&mut self.reported_blind, true) {
                    log::warn!("tasks cannot be compared with the kernel's: {reason}");
                }
            }
        }
        self.deliver(sink);
        let ended = boottime();
        let duration = ended.since(begun);
        // Records that were lost in the meantime are a known loss too.
        let all = |totals: &Totals| totals.all_lost() + totals.all_shed();
        let lost = self.observer.totals().map_or(0, |totals| all(&totals));
        // The calls that the kernel skipped are read once a second only.
        let skipped = self.counts.missed;
        self.check_misses();
        let is_drift = matches!(why, Why::Doubt | Why::Audit)
            && lost == all(&self.counts.kernel)
            && skipped == self.counts.missed;
        let why = if is_drift || why == Why::Start { why } else { Why::Loss };
        self.repairs.add(why, &before, self.lineage.stats(), duration);
        self.resynced = ended;
        let cost = duration.saturating_sub(self.handling_ns - handling_ns);
        let backoff = if is_whole {
            BACKOFF_FACTOR * cost
        } else {
            BACKOFF_AT_LEAST_NS << self.failed_in_a_row.min(LONGEST_BACKOFF)
        };
        self.backoff_until = Ktime(ended.0 + backoff.clamp(BACKOFF_AT_LEAST_NS, BACKOFF_AT_MOST_NS));
        log::debug!(
            "compared with the kernel's tasks ({why:?}) in {} us, {cost} ns of it its own",
            duration / 1000
        );
    }

    /// Reads all tasks, by the iterator and from /proc. The error says why a task that was not shown may still exist.
    fn read_all(&mut self, why: Why, begun: Ktime, sink: &mut impl EventSink) -> Result<(), String> {
        // The tasks are in the order of tids.
        let mut shown: Vec<Tid> = Vec::new();
        let by_iterator = self.iterate(&mut shown, sink);
        let sight = self.procfs.sight();
        let others = match sight {
            Sight::None => Ok(Vec::new()),
            Sight::All | Sight::Partial => self.hidden_groups(&shown),
        };
        // A task that was forked before this time has a record, unless it was lost; a task forked later is left to its record. At
        // the start, the hooks have been attached for more than a tick by now.
        let cutoffs = ForkCutoffs { begun, horizon: boottime() };
        self.catch_up(sink);
        let by_iterator = by_iterator.map(|mut differing| {
            if matches!(why, Why::Doubt | Why::Audit) {
                let put_off = self.put_off.take(&mut self.lineage, &mut differing);
                count_many(&mut self.counts.applied, Kind::Snapshot, put_off);
            }
            self.apply_all(&differing, sink);
        });
        let completed = others.and_then(|others| self.complete(others, cutoffs, by_iterator.is_ok(), sink));
        match (by_iterator, sight) {
            // A task hidden from both sources looks dead until its next event.
            (Ok(()), _) => completed.map_err(|error| error.to_string()),
            (Err(reason), Sight::None) => Err(format!("{reason}, and /proc is of another pid namespace")),
            (Err(reason), Sight::Partial) => Err(format!("{reason}, and /proc hides tasks (hidepid)")),
            (Err(_), Sight::All) => completed.map_err(|error| error.to_string()),
        }
    }

    /// Returns what differs from the tree. The caller applies it after the ring is drained, because most differences are only
    /// records in flight.
    fn iterate(&mut self, shown: &mut Vec<Tid>, sink: &mut impl EventSink) -> Result<Vec<Record>, String> {
        if !self.trust.iterator {
            return Err("the task iterator is not used".into());
        }
        let mut differing = Vec::new();
        let outcome = self.read_iterator(shown, &mut differing, sink);
        shown.sort_unstable();
        match outcome {
            Ok(()) => Ok(differing),
            Err(error) => {
                self.apply_all(&differing, sink);
                Err(error.to_string())
            }
        }
    }

    fn read_iterator(
        &mut self,
        shown: &mut Vec<Tid>,
        differing: &mut Vec<Record>,
        sink: &mut impl EventSink,
    ) -> Result<(), SnapshotError> {
        let is_first = self.repairs.resyncs == 0;
        let mut reading = self.observer.snapshot()?;
        let (mut handled_at, handling_ns) = (boottime(), self.handling_ns);
        loop {
            let Self { lineage, counts, effects, .. } = self;
            let read = reading.next(|record| match record {
                Ok(record) => {
                    counts.snapshot += 1;
                    let Fact::Snapshot(seen) = &record.fact else { return };
                    shown.push(seen.task.key.tid);
                    if is_first || agrees(lineage, seen) {
                        apply_record(lineage, counts, &record, record.at, effects);
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
            // Handle records so that the ring does not fill up. At the start the tree is read first.
            if !is_first
                && boottime().since(handled_at) >= READ_NS
                && self.handling_ns - handling_ns < HANDLE_AT_MOST_NS
            {
                self.handle_batch(sink);
                handled_at = boottime();
            }
        }
    }

    fn apply_all(&mut self, records: &[Record], sink: &mut impl EventSink) {
        for piece in records.chunks(BATCH) {
            let Self { lineage, counts, effects, .. } = self;
            for record in piece {
                apply_record(lineage, counts, record, record.at, effects);
            }
            self.deliver(sink);
        }
    }

    /// Handles a batch of records and returns how many there were. The time it takes is not counted as the comparison's.
    pub(super) fn handle_batch(&mut self, sink: &mut impl EventSink) -> usize {
        let begun = boottime();
        let handled = self.turn();
        self.deliver(sink);
        self.handling_ns += boottime().since(begun);
        handled
    }

    /// Handles every record made before now, and stops then, even if the kernel adds records all the time.
    pub fn catch_up(&mut self, sink: &mut impl EventSink) {
        let until = boottime();
        self.is_applying = true;
        loop {
            let handled = self.handle_batch(sink);
            if handled < BATCH || self.drained_to >= until {
                break;
            }
        }
        self.is_applying = false;
    }
}

/// Returns whether a record in flight could not have reported what the snapshot shows of a task.
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

/// A sink that is used until the first real sink exists. It keeps all effects for it.
#[derive(Default)]
pub(in crate::runtime) struct Kept(pub(in crate::runtime) Vec<Effect>);

impl EventSink for Kept {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.0.append(effects);
    }

    fn is_kept(&self) -> bool {
        true
    }

    fn lost(&mut self, _: LossPlace, _: u64) {}
}
