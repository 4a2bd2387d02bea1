//! The one place where the parts meet: ring -> decode -> lineage -> effects -> sinks.
//!
//! One owner: whoever holds the [`Pipeline`] owns the lineage. Nothing here blocks on a sink; a slow one loses its own
//! events.

mod blocked;
mod canary;
mod completion;
mod fork_refused;
mod hidden;
mod local_facts;
mod older;
mod oneshot_epoll;
mod place;
mod poll_schedule;
mod records;
mod refused;
mod rename_probe;
mod repairs;
mod resync;
mod signals;
mod sums;
mod tick;
mod timer_fd;
mod wall;
mod zombies;

use std::{collections::HashSet, future::Future, io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{select, sync::mpsc, time::sleep};

use self::{
    blocked::LastLook,
    local_facts::LocalFacts,
    poll_schedule::PollSchedule,
    records::{count, hand_over, kind_of},
    resync::Kept,
    timer_fd::Ticks,
};
pub use self::{
    canary::Canary,
    hidden::{HiddenCounts, HiddenTasks},
    place::Place,
    repairs::{RepairStats, Repairs, Why},
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
        Config, Lineage, Share,
        blocked::Blocked,
        death::Stop,
        effect::Effect,
        id::{GroupKey, Ktime},
        record::Record,
    },
    procfs::Procfs,
};

/// Records handled before others get a turn: timers, signals, sinks. What they have done is still in a core's own cache then.
const BATCH: usize = 512;

/// How long a sink that does not say otherwise lets an event wait: it still reaches its reader within two milliseconds.
pub const MAX_BATCH_DELAY: Duration = Duration::from_millis(1);

/// How often flags that depend on time, and the programs' loss counters, are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Questions that are answered after a tick, if so many wait.
const QUESTIONS_A_TICK: usize = 16;

/// Room for effects that is kept from one batch to the next.
const KEPT_EFFECTS: usize = 8 * BATCH;

/// How often the ring is looked at again for records of programs that were running when they were detached.
const LAST_LOOKS: u32 = 100;

/// The time between two of those looks.
const LAST_REST: Duration = Duration::from_millis(1);

/// The ring of a pipeline that attaches nothing: it stays empty, and the kernel wants one.
const LOOK_RING_BYTES: u32 = 64 << 10;

/// How the pipeline keeps itself honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The tree is compared with the kernel's tasks this often, also when nothing is known to be lost; zero is never.
    pub audit_every: Duration,
    /// A process of our own is made this often, whose whole life must come through; zero is never.
    pub canary_every: Duration,
    /// Whether the kernel's task iterator may be used; /proc alone otherwise.
    pub iterator: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { audit_every: Duration::from_secs(300), canary_every: Duration::from_secs(15), iterator: true }
    }
}

/// Where effects go: the daemon's counters and readers, or the lines of a command.
pub trait EventSink {
    /// Takes a batch of effects, in order.
    fn take(&mut self, effects: &[Effect]);
    /// Takes the number of records that were lost at `place` before they could be applied.
    fn lost(&mut self, place: Place, count: u64);
    /// Returns for how long an effect may wait for the next poll of the ring after one that found records: under load one wake-up then
    /// serves many.
    fn max_batch_delay(&self) -> Duration {
        MAX_BATCH_DELAY
    }
    /// Takes what tasks used that ended since the last call, by cgroup id; `None` is a cgroup that is not known. Called four times a
    /// second, with nothing if nothing ended, and before each question, so that a scrape reads and changes nothing.
    fn take_usage(&mut self, _shares: &[(Option<u64>, Share)]) {}
    /// Takes the units and containers that have stopped since the last call, if any have.
    fn take_stops(&mut self, _stops: &[Arc<Stop>]) {}
}

/// A question to the owner of the lineage, and to the sink that goes with it; asked between two batches of records.
pub type Question<F> = Box<dyn FnOnce(&mut Pipeline, &mut F) + Send>;

/// Why observing ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The ring cannot be waited for.
    #[error("waiting for the ring buffer: {0}")]
    Ring(#[from] io::Error),
    /// The programs' counters cannot be read.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

/// From the kernel to the effects.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pipeline {
    /// Programs, ring, counters.
    pub observer: Observer,
    /// What is known of all tasks.
    pub lineage: Lineage,
    /// What became of the records.
    pub counts: Counts,
    /// What comparisons with the kernel have mended.
    pub mending: RepairStats,
    /// Processes of our own whose lives must come through.
    pub canary: Canary,
    /// Tasks that stay in uninterruptible sleep.
    pub blocked: Blocked,
    last_look: LastLook,
    /// How often all hooks were attached anew because canaries went unseen.
    pub reattached: u64,
    trust: Trust,
    effects: Vec<Effect>,
    /// Records that go to the lineage together. Empty between two turns.
    decoded: Vec<Record>,
    lost_told: [u64; Place::COUNT],
    /// Of these, the records that say why tasks end.
    causes_lost_told: [u64; Place::COUNT],
    ticks: u64,
    /// When the last comparison with the kernel ended, and before when there is no next one.
    resynced: Ktime,
    rest_until: Ktime,
    /// The youngest record so far.
    drained_to: Ktime,
    /// A loss is not yet followed by a comparison.
    owes_resync: bool,
    /// Records lost since the last whole comparison began.
    uncompared: u64,
    /// Time spent on handling records in [`Pipeline::handle_batch`].
    handling_ns: u64,
    told_blind: bool,
    /// Comparisons that failed since the last one that did not.
    failed_in_a_row: u32,
    /// Why the programs' counters cannot be read now.
    pub no_counters: Option<String>,
    /// Zombies that /proc has shown as such.
    confirmed: HashSet<GroupKey>,
    procfs: Procfs,
    local_facts: LocalFacts,
    /// What this kernel hides.
    pub hidden: HiddenTasks,
    /// At the last look /proc had groups besides init that the iterator did not show. Unknown before the first.
    hides_others: bool,
    doubt_ns: u64,
    /// Records or their effects are being handled: a panic now leaves some of them out.
    is_applying: bool,
}

impl Pipeline {
    /// Attaches, then reads every task there is: from here on nothing is missed.
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

    /// The same with other habits.
    pub fn start_with(
        object: Option<&Path>,
        options: Options,
        choice: Choice,
        config: Config,
        trust: Trust,
    ) -> Result<Self, ObserveError> {
        let mut pipeline = Self::begin(Observer::start(object, options, choice)?, config, trust);
        let mut kept = Kept(std::mem::take(&mut pipeline.effects));
        pipeline.read_programs(&mut kept);
        pipeline.effects = kept.0;
        Ok(pipeline)
    }

    /// Reads every task there is and attaches nothing: what comes after is not seen.
    pub fn look(object: Option<&Path>, trust: Trust) -> Result<Self, ObserveError> {
        let options = Options { ring_bytes: LOOK_RING_BYTES, args: false, sched: Sched::No };
        Ok(Self::begin(Observer::look(object, options)?, Config::default(), trust))
    }

    fn begin(observer: Observer, mut config: Config, trust: Trust) -> Self {
        config.room = Some(prefer_huge_pages);
        let doubt_ns = zombies::DOUBT_NS.min(duration::ns(config.zombie_after) / 2);
        let mut pipeline = Self {
            observer,
            lineage: Lineage::new(config),
            counts: Counts::default(),
            mending: RepairStats::default(),
            canary: Canary::new(trust.canary_every),
            blocked: Blocked::default(),
            last_look: LastLook::default(),
            reattached: 0,
            trust,
            effects: Vec::with_capacity(BATCH),
            decoded: Vec::with_capacity(Lineage::PREFETCHED),
            lost_told: [0; Place::COUNT],
            causes_lost_told: [0; Place::COUNT],
            ticks: 0,
            resynced: Ktime(0),
            rest_until: Ktime(0),
            drained_to: Ktime(0),
            owes_resync: false,
            uncompared: 0,
            handling_ns: 0,
            told_blind: false,
            failed_in_a_row: 0,
            no_counters: None,
            confirmed: HashSet::new(),
            procfs: Procfs::default(),
            local_facts: LocalFacts::default(),
            hidden: HiddenTasks::default(),
            hides_others: true,
            doubt_ns,
            is_applying: false,
        };
        pipeline.lineage.watch_signals(signals::watch(&pipeline.observer.hooks));
        let mut kept = Kept::default();
        pipeline.resync(Why::Start, &mut kept);
        pipeline.effects = kept.0;
        pipeline
    }

    /// Handles what is in the ring, up to a batch; answers how many records that was.
    fn turn(&mut self) -> usize {
        let Self { observer, lineage, counts, effects, drained_to, decoded, procfs, local_facts, .. } = self;
        let now = boottime();
        let mut apply = |records: &mut Vec<Record>, counts: &mut Counts| {
            lineage.prefetch(records);
            for mut record in records.drain(..) {
                local_facts.complete(&mut record, lineage, procfs);
                hand_over(lineage, counts, &record, now, effects);
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

    fn hand_on(&mut self, sink: &mut impl EventSink) {
        self.canary.filter(&mut self.effects);
        if !self.effects.is_empty() {
            sink.take(&self.effects);
            self.effects.clear();
            // A comparison of many tasks makes many at once.
            self.effects.shrink_to(KEPT_EFFECTS);
        }
    }

    /// Runs a question, after what it may show: losses, and what ended tasks used.
    fn answer<S: EventSink>(&mut self, question: Question<S>, sink: &mut S) {
        self.look_for_losses(sink);
        let shares: Vec<_> = self.lineage.take_shares().collect();
        if !shares.is_empty() {
            sink.take_usage(&shares);
        }
        self.hand_on_stops(sink);
        question(self, sink);
    }

    fn hand_on_stops(&mut self, sink: &mut impl EventSink) {
        let stops: Vec<_> = self.lineage.take_ended_stops().collect();
        if !stops.is_empty() {
            sink.take_stops(&stops);
        }
    }

    /// Runs until `stop` resolves; then detaches and handles what is left in the ring.
    pub async fn run<F: EventSink>(
        &mut self,
        sink: &mut F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let (_, mut nobody) = mpsc::channel(1);
        self.serve(sink, &mut nobody, stop).await
    }

    /// The same, answering questions meanwhile. Records come first, but no batch of them lets a question wait.
    pub async fn serve<F: EventSink>(
        &mut self,
        sink: &mut F,
        questions: &mut mpsc::Receiver<Question<F>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        self.hand_on(sink);
        let mut looks = PollSchedule::new(self.ring_fd()?)?;
        let mut ticks = Ticks::every(TICK)?;
        tokio::pin!(stop);
        loop {
            select! {
                biased;
                () = &mut stop => break,
                () = ticks.due() => {
                    self.tick(sink);
                    // Where ticks take longer than the time between them, as a comparison under load does, nothing else has its turn.
                    for _ in 0..QUESTIONS_A_TICK {
                        let Ok(question) = questions.try_recv() else { break };
                        self.answer(question, sink);
                    }
                }
                () = looks.due() => {
                    let handled = self.turn();
                    self.hand_on(sink);
                    looks.after(handled, sink.max_batch_delay());
                    if let Ok(question) = questions.try_recv() {
                        self.answer(question, sink);
                    }
                }
                // Where nobody can ask any more, this branch is off.
                Some(question) = questions.recv() => {
                    // What waits in the ring for the next look is part of the answer.
                    self.catch_up(sink);
                    self.answer(question, sink);
                }
            }
            self.hand_on(sink);
        }
        self.end(sink).await
    }

    /// Detaches, handles what is left in the ring, mends what was lost last, and does the sums.
    async fn end(&mut self, sink: &mut impl EventSink) -> Result<(), RunError> {
        self.canary.stop();
        self.observer.detach();
        self.look_for_misses();
        // A program that was running on another CPU may be about to send its last record.
        for _ in 0..LAST_LOOKS {
            while self.turn() > 0 {
                self.hand_on(sink);
            }
            self.look_for_losses(sink);
            if self.sums().check().is_empty() {
                break;
            }
            sleep(LAST_REST).await;
        }
        if std::mem::take(&mut self.owes_resync) {
            self.resync(Why::Loss, sink);
        }
        self.lineage.tick(boottime(), &mut self.effects);
        self.hand_on(sink);
        // Without the counters nobody knows what was lost last.
        self.observer.totals()?;
        for wrong in self.sums().check() {
            log::error!("records do not add up: {wrong}");
        }
        Ok(())
    }

    /// Whether the task tree is whole, after a question to its owner panicked. Slow: every link and count is checked.
    pub fn whole(&self) -> Result<(), String> {
        if self.is_applying { Err("records were being applied".into()) } else { self.lineage.check() }
    }

    /// Records lost since the last whole comparison of the tree with the kernel's tasks began: until the next one the tree may differ from
    /// them.
    #[must_use]
    pub const fn uncompared(&self) -> u64 {
        self.uncompared
    }

    /// Why the tree may differ from the kernel's tasks now; `None` while nothing says that it does.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let lost = self.uncompared;
        (lost > 0)
            .then(|| format!("degraded: {lost} records lost, tree not yet compared with the kernel's tasks"))
    }

    /// How long ago something was last seen to come through where no canary can be made: see [`Canary::refusal`]. `None` where
    /// hooks are in doubt, or one is not attached any more.
    #[must_use]
    pub fn proof_age(&self, now: Ktime) -> Option<Duration> {
        let observer = &self.observer;
        let proof = self.canary.proof(observer.tells_failed_clones(), self.drained_to);
        proof.filter(|_| observer.is_attached()).map(|at| Duration::from_nanos(now.since(at)))
    }

    /// The way of the records as sums. They balance when nothing is under way, such as after [`Pipeline::run`].
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.counts.sums(self.lineage.stats())
    }

    fn ring_fd(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsFd as _;
        self.observer.as_fd().try_clone_to_owned()
    }
}
