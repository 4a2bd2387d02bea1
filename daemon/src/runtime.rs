//! Connects the parts: ring -> decode -> lineage -> effects -> sinks.
//!
//! The owner of the [`Pipeline`] owns the lineage; there is only one. Nothing here blocks on a sink: a slow sink loses its own
//! events.
//!
//! - `polling`: when the ring is polled
//! - `records`: hands records to the lineage and counts them by kind; `local_facts` first adds what records lack
//! - `comparison`: compares the tree with the kernel's tasks and repairs it; `zombies` does the same for zombies, by /proc
//! - `canary`: children of the daemon whose whole life must be seen
//! - `sums`, `place`, `signals`: whether each record is either applied or counted as lost, and where it was lost
//! - `tick`: what is done four times a second
//! - `blocked`: tasks that stay in uninterruptible sleep; `leaks`: threads, starts, forks and orphans that leak
//! - `older`: programs and arguments of processes that are older than taskscope
//! - `wall`: the wall clock beside `CLOCK_BOOTTIME`
//! - `recorded`: the lineage, whose changes can be recorded; `replay`: makes the same changes again, from a recording

mod blocked;
mod canary;
mod comparison;
mod leaks;
mod local_facts;
mod older;
mod place;
mod polling;
mod recorded;
mod records;
pub mod replay;
mod signals;
mod sums;
mod tick;
mod wall;
mod zombies;

use std::{collections::HashSet, future::Future, io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{select, sync::mpsc, time::sleep};

use self::{
    blocked::LastPoll,
    comparison::{put_off::PutOff, resync::Kept},
    local_facts::LocalFacts,
    polling::{poll_schedule::PollSchedule, timer_fd::Ticks},
    records::{apply_record, count, kind_of},
    zombies::recheck::ZombieRecheck,
};
pub use self::{
    canary::Canary,
    comparison::{
        hidden::{HiddenCounts, HiddenTasks},
        repairs::{RepairStats, Repairs, Why},
    },
    place::Place,
    recorded::RecordedLineage,
    sums::{Counts, Imbalance, Sums},
    wall::Wall,
};
use crate::{
    duration,
    kernel::{
        clock::boottime,
        counters::CountersError,
        ladder::Choice,
        memory::prefer_huge_pages,
        object::Options,
        observer::{ObserveError, Observer},
        sched::Sched,
    },
    lineage::{
        Brief, Config, Lineage, Share, Wanted, WantedActions,
        blocked::Blocked,
        death::Stop,
        effect::Effect,
        id::{GroupKey, Ktime, Tgid},
        leaks::Leaks,
        record::{ForkFailures, Record},
        scope::CgroupName,
    },
    procfs::Procfs,
    recording::{Entry, Journal, entry::Own},
};

/// The most records that are handled before timers, signals and sinks get a turn. The effects of this many records fit into the
/// CPU's cache.
const BATCH: usize = 512;

/// The default of [`EventSink::max_batch_delay`]: an event reaches its reader within two milliseconds.
pub const MAX_BATCH_DELAY: Duration = Duration::from_millis(1);

/// How often flags that depend on time, and the programs' loss counters, are checked.
const TICK: Duration = Duration::from_millis(250);

/// The most questions that are answered after one tick.
const QUESTIONS_A_TICK: usize = 16;

/// The capacity for effects that is kept from one batch to the next.
const KEPT_EFFECTS: usize = 8 * BATCH;

/// How often the ring is polled after detaching, for records of programs that were still running.
const LAST_POLLS: u32 = 100;

/// The time between two of these polls.
const LAST_POLL_DELAY: Duration = Duration::from_millis(1);

/// Size of the ring of a pipeline that attaches nothing: it stays empty, but the kernel needs one.
const SNAPSHOT_RING_BYTES: u32 = 64 << 10;

/// How the pipeline checks that the tree is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// How often the tree is compared with the kernel's tasks even if no loss is known; zero is never.
    pub audit_every: Duration,
    /// How often a canary is made, a short-lived process whose whole life must be seen; zero is never.
    pub canary_every: Duration,
    /// Whether to use the kernel's task iterator; otherwise /proc alone is read.
    pub iterator: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { audit_every: Duration::from_secs(300), canary_every: Duration::from_secs(15), iterator: true }
    }
}

/// Takes effects: the daemon's counters and readers, or the lines of a command.
pub trait EventSink {
    /// Takes a batch of effects, in order. Those that it keeps it takes out; the caller drops the others.
    fn take(&mut self, effects: &mut Vec<Effect>);
    /// Whether effects are built from now on. If not, only those of the pipeline's own processes are, and briefs stand in for all others.
    fn wants_effects(&self) -> bool {
        true
    }
    /// Returns the actions whose effects are built in any case.
    fn wanted_actions(&self) -> WantedActions {
        WantedActions::default()
    }
    /// Whether the effects are only kept for the first real sink.
    fn is_kept(&self) -> bool {
        false
    }
    /// Takes what happened while no effects were built, in order.
    fn take_briefs(&mut self, _briefs: &[Brief]) {}
    /// Takes the number of records that were lost at `place` before they could be applied.
    fn lost(&mut self, place: Place, count: u64);
    /// Returns for how long an effect may wait for the next poll of the ring after one that found records: under load one wake-up then
    /// serves many. A long delay ends early for records that cannot wait, and when the ring fills up.
    fn max_batch_delay(&self) -> Duration {
        MAX_BATCH_DELAY
    }
    /// Takes what tasks that ended since the last call used, by cgroup id; `None` is an unknown cgroup. The pipeline calls this
    /// four times a second, also if nothing ended, and before each question, so that a scrape reads and changes nothing.
    fn take_usage(&mut self, _shares: &[(Option<u64>, Share)]) {}
    /// Takes the names of cgroups that were made since the last call, if any were; before the effects of the tasks in them.
    fn take_cgroup_names(&mut self, _names: &[CgroupName]) {}
    /// Takes the units and containers that have stopped since the last call, if any have.
    fn take_stops(&mut self, _stops: &[Arc<Stop>]) {}
}

/// A recording that is to be made of what a pipeline takes in.
pub struct Recording {
    /// The file.
    pub journal: Journal,
    /// The command that is recorded, with its arguments.
    pub command: Vec<Vec<u8>>,
}

/// A question to the owner of the lineage and its sink. It runs between two batches of records.
pub type Question<F> = Box<dyn FnOnce(&mut Pipeline, &mut F) + Send>;

/// Why observing ended with an error.
#[derive(Debug, Error)]
pub enum RunError {
    /// The event loop cannot wait for the ring.
    #[error("waiting for the ring buffer: {0}")]
    Ring(#[from] io::Error),
    /// The programs' counters cannot be read.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

/// Everything from the kernel to the effects.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pipeline {
    /// Programs, ring and counters.
    pub observer: Observer,
    /// The tree of all tasks.
    pub lineage: RecordedLineage,
    /// Counts of records by outcome.
    pub counts: Counts,
    /// What comparisons with the kernel have repaired.
    pub repairs: RepairStats,
    /// Canaries: processes of our own whose lives must be seen.
    pub canary: Canary,
    /// Tasks that stay in uninterruptible sleep.
    pub blocked: Blocked,
    last_poll: LastPoll,
    /// Leaks that are no zombies.
    pub leaks: Leaks,
    /// How often all hooks were attached again because canaries were not seen.
    pub reattached: u64,
    trust: Trust,
    effects: Vec<Effect>,
    /// Decoded records of the present batch. Empty between two turns.
    decoded: Vec<Record>,
    lost_reported: [u64; Place::COUNT],
    /// Lost records about causes of death, part of all lost records, as reported so far.
    causes_lost_reported: [u64; Place::COUNT],
    ticks: u64,
    /// When the last comparison with the kernel ended, and the earliest time of the next one.
    resynced: Ktime,
    backoff_until: Ktime,
    /// The time of the youngest record so far.
    drained_to: Ktime,
    /// Whether records were lost and no comparison has followed yet.
    owes_resync: bool,
    /// Forks and deaths that the last audit found and left to the next.
    put_off: PutOff,
    /// Records lost since the last whole comparison began.
    uncompared: u64,
    /// Time spent on handling records in [`Pipeline::handle_batch`].
    handling_ns: u64,
    reported_blind: bool,
    /// Comparisons that failed since the last successful one.
    failed_in_a_row: u32,
    /// Why the programs' counters cannot be read now.
    pub no_counters: Option<String>,
    /// Zombies that /proc has confirmed.
    confirmed: HashSet<GroupKey>,
    recheck: ZombieRecheck,
    /// How many reparentings had been uncertain so far when their children were last looked up.
    orphans_looked_up: u64,
    procfs: Procfs,
    local_facts: LocalFacts,
    /// What this kernel hides.
    pub hidden: HiddenTasks,
    /// Whether /proc had groups besides init that the iterator did not show, at the last comparison. Unknown before the first.
    hides_others: bool,
    doubt_ns: u64,
    /// Whether records or their effects are being handled: a panic now would leave some of them out.
    is_applying: bool,
}

impl Pipeline {
    /// Attaches all hooks, then reads all tasks. No event after that is missed.
    ///
    /// `object` is an eBPF object to use in place of the embedded one.
    pub fn start(
        object: Option<&Path>,
        options: Options,
        choice: Choice,
        config: Config,
    ) -> Result<Self, ObserveError> {
        Self::start_with(object, options, choice, config, Trust::default())
    }

    /// Same as [`start`](Self::start), with other [`Trust`] settings.
    pub fn start_with(
        object: Option<&Path>,
        options: Options,
        choice: Choice,
        config: Config,
        trust: Trust,
    ) -> Result<Self, ObserveError> {
        Self::start_recording(object, options, choice, config, trust, None)
    }

    /// Same as [`start_with`](Self::start_with), and notes in the recording everything that the answers depend on.
    pub fn start_recording(
        object: Option<&Path>,
        options: Options,
        choice: Choice,
        config: Config,
        trust: Trust,
        journal: Option<Recording>,
    ) -> Result<Self, ObserveError> {
        let mut pipeline = Self::begin(Observer::start(object, options, choice)?, config, trust, journal);
        let mut kept = Kept(std::mem::take(&mut pipeline.effects));
        pipeline.read_programs(&mut kept);
        pipeline.effects = kept.0;
        Ok(pipeline)
    }

    /// Reads all tasks and attaches nothing: later events are not seen.
    pub fn snapshot_only(object: Option<&Path>, trust: Trust) -> Result<Self, ObserveError> {
        let options = Options { ring_bytes: SNAPSHOT_RING_BYTES, args: false, sched: Sched::No };
        Ok(Self::begin(Observer::load_only(object, options)?, Config::default(), trust, None))
    }

    fn begin(observer: Observer, mut config: Config, trust: Trust, recording: Option<Recording>) -> Self {
        let (watch, watches_scopes) =
            (signals::watch(&observer.hooks), signals::watches_scopes(&observer.hooks));
        let journal = recording.map(|Recording { journal, command }| {
            journal.begin(recorded::header(&observer.hooks, &config, watch, watches_scopes, command));
            journal
        });
        config.room = Some(prefer_huge_pages);
        let doubt_ns = zombies::DOUBT_NS.min(duration::ns(config.zombie_after) / 2);
        let mut pipeline = Self {
            observer,
            lineage: RecordedLineage::new(config, journal),
            counts: Counts::default(),
            repairs: RepairStats::default(),
            canary: Canary::new(trust.canary_every),
            blocked: Blocked::default(),
            last_poll: LastPoll::default(),
            leaks: Leaks::default(),
            reattached: 0,
            trust,
            effects: Vec::with_capacity(BATCH),
            decoded: Vec::with_capacity(Lineage::PREFETCHED),
            lost_reported: [0; Place::COUNT],
            causes_lost_reported: [0; Place::COUNT],
            ticks: 0,
            resynced: Ktime(0),
            backoff_until: Ktime(0),
            drained_to: Ktime(0),
            owes_resync: false,
            put_off: PutOff::default(),
            uncompared: 0,
            handling_ns: 0,
            reported_blind: false,
            failed_in_a_row: 0,
            no_counters: None,
            confirmed: HashSet::new(),
            recheck: ZombieRecheck::default(),
            orphans_looked_up: 0,
            procfs: Procfs::default(),
            local_facts: LocalFacts::default(),
            hidden: HiddenTasks::default(),
            hides_others: true,
            doubt_ns,
            is_applying: false,
        };
        pipeline.lineage.watch(watch, watches_scopes);
        let mut kept = Kept::default();
        pipeline.resync(Why::Start, &mut kept);
        pipeline.effects = kept.0;
        pipeline
    }

    /// Handles the records in the ring, up to a batch. Returns how many there were.
    fn turn(&mut self) -> usize {
        let Self { observer, lineage, counts, effects, drained_to, decoded, procfs, local_facts, .. } = self;
        let now = boottime();
        let mut apply = |records: &mut Vec<Record>, counts: &mut Counts| {
            lineage.prefetch(records);
            for mut record in records.drain(..) {
                local_facts.complete(&mut record, lineage, procfs);
                apply_record(lineage, counts, &record, now, effects);
            }
        };
        let handled = observer.drain(BATCH, |record| match record {
            Ok(record) => {
                count(&mut counts.received, kind_of(&record));
                *drained_to = record.at.max(*drained_to);
                decoded.push(record);
                if decoded.len() >= Lineage::PREFETCHED {
                    apply(decoded, counts);
                }
            }
            Err(error) => {
                counts.undecoded += 1;
                log::error!("ring buffer: {error}");
            }
        });
        apply(decoded, counts);
        handled
    }

    fn deliver(&mut self, sink: &mut impl EventSink) {
        self.filter_canary(sink.is_kept());
        let names: Vec<_> = self.lineage.take_cgroup_names().collect();
        if !names.is_empty() {
            sink.take_cgroup_names(&names);
        }
        if !self.effects.is_empty() {
            sink.take(&mut self.effects);
            self.effects.clear();
            // A comparison of many tasks makes many effects at once.
            self.effects.shrink_to(KEPT_EFFECTS);
        }
        let briefs = self.lineage.take_briefs();
        if !briefs.as_slice().is_empty() {
            sink.take_briefs(briefs.as_slice());
        }
        drop(briefs);
        self.lineage.trim_briefs(KEPT_EFFECTS);
        self.follow_wants(sink);
    }

    /// Removes the effects of the canary, and notes their places in the recording.
    fn filter_canary(&mut self, is_kept: bool) {
        if self.lineage.journal().is_none() || self.effects.is_empty() || is_kept {
            return self.canary.filter(&mut self.effects);
        }
        let id = |effect: &Effect| (effect.at, effect.thread.key.tid, effect.action.kind());
        let before: Vec<_> = self.effects.iter().map(id).collect();
        self.canary.filter(&mut self.effects);
        let mut left = self.effects.iter().map(id).peekable();
        let removed = before.iter().filter(|id| left.next_if_eq(id).is_none());
        let own: Vec<Own> = removed.map(|&(at, tid, _)| Own { tid, at }).collect();
        drop(left);
        self.lineage.note(|| Entry::Delivered(own));
    }

    /// Has the lineage build the effects that the sink wants, and those that the canary must see.
    fn follow_wants(&mut self, sink: &impl EventSink) {
        let own = [Some(Tgid(std::process::id())), self.canary.process()];
        let some = Wanted::Of(own, sink.wanted_actions());
        self.lineage.set_wanted(if sink.wants_effects() { Wanted::All } else { some });
    }

    /// Runs a question, after accounting for losses, orphans, reaped zombies, and what ended tasks used.
    fn answer<S: EventSink>(&mut self, question: Question<S>, sink: &mut S) {
        self.check_losses(sink);
        self.settle_orphans(sink);
        self.end_reaped_before_answer(sink);
        let shares: Vec<_> = self.lineage.take_shares().collect();
        if !shares.is_empty() {
            sink.take_usage(&shares);
        }
        self.deliver_stops(sink);
        question(self, sink);
        // It may have added a reader of events.
        self.follow_wants(sink);
    }

    fn deliver_stops(&mut self, sink: &mut impl EventSink) {
        let stops: Vec<_> = self.lineage.take_ended_stops().collect();
        if !stops.is_empty() {
            sink.take_stops(&stops);
        }
    }

    /// Runs until `stop` resolves; then detaches and handles the records that are left in the ring.
    pub async fn run<F: EventSink>(
        &mut self,
        sink: &mut F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let (_, mut no_questions) = mpsc::channel(1);
        self.serve(sink, &mut no_questions, stop).await
    }

    /// Returns the forks of a process that failed in the last minute.
    #[must_use]
    pub fn fork_failures(&self, key: GroupKey) -> Option<ForkFailures> {
        self.local_facts.fork_failures(key, boottime())
    }

    /// Runs as [`Pipeline::run`] and answers questions in between. Records come first, but a question waits for no more than a
    /// batch of them.
    pub async fn serve<F: EventSink>(
        &mut self,
        sink: &mut F,
        questions: &mut mpsc::Receiver<Question<F>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        self.deliver(sink);
        let mut schedule = PollSchedule::new(self.ring_fd()?, self.observer.wake_ups.take())?;
        let mut ticks = Ticks::every(TICK)?;
        tokio::pin!(stop);
        loop {
            select! {
                biased;
                () = &mut stop => break,
                () = ticks.due() => {
                    self.tick(sink);
                    // If ticks take longer than the time between them, as a comparison under load does, nothing else gets a turn.
                    for _ in 0..QUESTIONS_A_TICK {
                        let Ok(question) = questions.try_recv() else { break };
                        self.answer(question, sink);
                    }
                }
                () = schedule.due() => {
                    let handled = self.turn();
                    self.deliver(sink);
                    self.settle_new_orphans(sink);
                    schedule.after(handled, sink.max_batch_delay());
                    if let Ok(question) = questions.try_recv() {
                        self.answer(question, sink);
                    }
                }
                // This branch is off once all senders of questions are gone.
                Some(question) = questions.recv() => {
                    // Records that wait in the ring for the next poll are part of the answer.
                    self.catch_up(sink);
                    self.answer(question, sink);
                }
            }
            self.deliver(sink);
            schedule.follow(sink.max_batch_delay());
        }
        self.end(sink).await
    }

    /// Detaches, handles the records left in the ring, repairs the last loss, and checks the sums.
    async fn end(&mut self, sink: &mut impl EventSink) -> Result<(), RunError> {
        self.canary.stop();
        self.observer.detach();
        self.check_misses();
        // A program that was running on another CPU may still send its last record.
        for _ in 0..LAST_POLLS {
            while self.turn() > 0 {
                self.deliver(sink);
            }
            self.check_losses(sink);
            if self.sums().check().is_empty() {
                break;
            }
            sleep(LAST_POLL_DELAY).await;
        }
        if std::mem::take(&mut self.owes_resync) {
            self.resync(Why::Loss, sink);
        }
        self.lineage.tick(boottime(), &mut self.effects);
        self.deliver(sink);
        // Without the counters the last loss is unknown.
        self.observer.totals()?;
        for wrong in self.sums().check() {
            log::error!("records do not add up: {wrong}");
        }
        self.lineage.note(|| Entry::Counters(Box::new(self.counts.recorded())));
        Ok(())
    }

    /// Returns whether the tree is consistent after a question to its owner panicked. Slow: every link and count is checked.
    pub fn whole(&self) -> Result<(), String> {
        if self.is_applying { Err("records were being applied".into()) } else { self.lineage.check() }
    }

    /// Returns how many records were lost since the last whole comparison with the kernel's tasks began. Until the next
    /// comparison the tree may differ from the kernel.
    #[must_use]
    pub const fn uncompared(&self) -> u64 {
        self.uncompared
    }

    /// Returns why the tree may differ from the kernel's tasks now; `None` if no reason is known.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let lost = self.uncompared;
        (lost > 0)
            .then(|| format!("degraded: {lost} records lost, tree not yet compared with the kernel's tasks"))
    }

    /// Returns how long ago a record last came through while no canary can be made: see [`Canary::refusal`]. `None` if hooks are
    /// in doubt, or one is not attached any more.
    #[must_use]
    pub fn proof_age(&self, now: Ktime) -> Option<Duration> {
        let observer = &self.observer;
        let proof = self.canary.proof(observer.reports_failed_clones(), self.drained_to);
        proof.filter(|_| observer.is_attached()).map(|at| Duration::from_nanos(now.since(at)))
    }

    /// Returns the counts of records at each station. They balance when no record is in flight, such as after [`Pipeline::run`].
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.counts.sums(self.lineage.stats())
    }

    fn ring_fd(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsFd as _;
        self.observer.as_fd().try_clone_to_owned()
    }
}
