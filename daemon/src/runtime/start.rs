//! Starts a pipeline: loads and attaches the programs, then reads all tasks.

use std::{collections::HashSet, path::Path, time::Duration};

use super::{
    Canary, HiddenTasks, LossPlace, Pipeline, RecordedLineage, RepairStats, Why,
    blocked::LastPoll,
    comparison::{put_off::PutOff, resync::Kept},
    local_facts::LocalFacts,
    polling::poll_schedule::BATCH,
    recorded, signals,
    sums::Counts,
    zombies::{self, recheck::ZombieRecheck},
};
use crate::{
    duration,
    kernel::{
        ladder::Choice,
        memory::prefer_huge_pages,
        object::Options,
        observer::{ObserveError, Observer},
        sched::Sched,
    },
    lineage::{Config, Lineage, blocked::Blocked, id::Ktime, leaks::Leaks},
    procfs::Procfs,
    recording::Journal,
};

/// Size of the ring of a pipeline that attaches nothing: it stays empty, but the kernel needs one.
const SNAPSHOT_RING_BYTES: u32 = 64 << 10;

/// How the pipeline checks that the tree is correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// How often the tree is compared with the kernel's tasks even if no loss is known; zero is never.
    pub audit_every: Duration,
    /// How often a canary is forked, a short-lived child whose records must all arrive; zero is never.
    pub canary_every: Duration,
    /// Whether to use the kernel's task iterator; otherwise /proc alone is read.
    pub iterator: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { audit_every: Duration::from_secs(300), canary_every: Duration::from_secs(15), iterator: true }
    }
}

impl Trust {
    /// Returns the settings of a command. Intervals that were not given have their defaults.
    #[must_use]
    pub fn of_command(audit_every: Option<Duration>, canary_every: Option<Duration>, iterator: bool) -> Self {
        let default = Self::default();
        Self {
            audit_every: audit_every.unwrap_or(default.audit_every),
            canary_every: canary_every.unwrap_or(default.canary_every),
            iterator,
        }
    }
}

/// A recording of the pipeline's input.
pub struct Recording {
    /// The file.
    pub journal: Journal,
    /// The command that is recorded, with its arguments.
    pub command: Vec<Vec<u8>>,
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
            lost_reported: [0; LossPlace::COUNT],
            causes_lost_reported: [0; LossPlace::COUNT],
            ticks: 0,
            resynced: Ktime(0),
            backoff_until: Ktime(0),
            drained_to: Ktime(0),
            resync_due: false,
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
}
