//! The daemon's event sink: passes all events to the counters and to the readers of events.

use std::{sync::Arc, time::Duration};

use super::{
    budget::{self, Budget},
    config::Settings,
    http::ConnectionCounts,
    labels::unit_labels::UnitLabels,
    losses::Losses,
    memory::{Holding, MemoryGuard, Shedding},
    metrics::{Metrics, Sources},
    readers::{Reader, Readers, Wanted},
    sandbox::Sandbox,
    sched::{SchedSums, Shown},
    scrape_format::ScrapeFormat,
    unread::Unread,
};
use crate::{
    cgroup::Cgroups,
    duration,
    history::{History, HistoryReading, Limits},
    kernel::{
        clock, memory,
        sched::{CGROUPS, SchedReading},
    },
    lineage::{
        Brief, Lineage, Share, WantedActions, death::Stop, effect::Effect, id::Ktime, scope::CgroupName,
    },
    outputs::Outputs,
    runtime::{
        EventSink, LossPlace, MAX_BATCH_DELAY, MAX_BATCH_DELAY_UNREAD, Pipeline, RecordedLineage, Wall,
    },
};

/// What the service publishes.
pub struct Service {
    pub(super) metrics: Metrics,
    pub(super) readers: Readers,
    unread: Unread,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) cgroups: Cgroups,
    /// The cgroup of the last event whose cgroup path is known.
    last_cgroup: Option<u64>,
    pub(super) budget: Budget,
    pub(super) memory: MemoryGuard,
    sched: SchedSums,
    sched_losses: Losses,
    pub(super) wall: Wall,
    /// Identifies this run of the daemon.
    pub(super) instance: String,
    pub(super) started: Ktime,
    pub(super) settings: Settings,
    /// What the daemon has denied itself.
    pub(super) sandbox: Sandbox,
    /// The history, if it is enabled.
    pub(super) history: Option<History>,
    /// Where events are sent.
    pub(super) outputs: Outputs,
}

impl Service {
    pub(super) fn new(settings: Settings, lineage: &Lineage) -> prometheus::Result<Self> {
        let started = clock::boottime();
        let instance = format!("{:x}", started.0);
        let (wall, cgroups) = (Wall::of_this_boot(), Cgroups::of_host());
        Ok(Self {
            metrics: Metrics::new(settings.sched)?,
            readers: Readers::new(settings.backlog, &instance, wall.stamp()),
            unread: Unread::new(settings.backlog),
            connections: Arc::default(),
            memory: MemoryGuard::new(settings.memory_max, cgroups.root()),
            outputs: Outputs::open(
                &settings.all_outputs(),
                lineage,
                &instance,
                duration::ns(settings.zombie_after),
            ),
            cgroups,
            last_cgroup: None,
            budget: Budget::default(),
            sched: SchedSums::default(),
            sched_losses: Losses::default(),
            wall,
            instance,
            started,
            sandbox: Sandbox::new(settings.sandbox),
            history: settings.history.as_deref().map(|path| {
                History::open(path, Limits { bytes: settings.history_size, age: settings.history_age })
            }),
            settings,
        })
    }

    /// Registers metrics for what the attached hooks can report. Other metrics do not exist.
    pub(super) fn follow_hooks(&mut self, pipeline: &Pipeline) -> prometheus::Result<()> {
        if pipeline.observer.reports_failed_clones() { self.metrics.count_failures() } else { Ok(()) }
    }

    /// Returns the text of a scrape.
    pub(super) fn scrape(
        &mut self,
        pipeline: &mut Pipeline,
        format: ScrapeFormat,
    ) -> prometheus::Result<String> {
        let sched = self.poll_sched(pipeline);
        let sources = Sources {
            now: clock::boottime(),
            cgroups: &mut self.cgroups,
            budget: &self.budget,
            readers: &self.readers,
            connections: &self.connections,
            memory: &self.memory,
            history: self.history.as_ref(),
            outputs: &self.outputs,
            top: self.settings.top,
            sched,
            stamp: self.wall.stamp(),
        };
        self.metrics.scrape(pipeline, sources, format)
    }

    /// Reads the histograms of `--sched`. Once half of them are in use, frees the histograms of cgroups that are gone.
    pub(super) fn poll_sched(&mut self, pipeline: &mut Pipeline) -> Option<(SchedReading, Shown)> {
        let maps = pipeline.observer.sched.as_mut()?;
        let now = clock::boottime();
        let taken = maps.read().map(|reading| {
            let cgroups = &mut self.cgroups;
            let find = |id| cgroups.place(id, now.0).map(|place| UnitLabels::at(place));
            let shown = self.sched.take(&reading, self.settings.top, find);
            (reading, shown)
        });
        let (reading, shown) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                log::error!("{error}");
                return None;
            }
        };
        for text in self.sched_losses.news(&reading.lost) {
            log::warn!("{text}");
        }
        if reading.cgroups.len() >= CGROUPS as usize / 2 {
            for id in self.cgroups.gone(reading.cgroups.iter().map(|(id, _)| *id), now.0) {
                match maps.retire(id) {
                    Ok(last) => self.sched.end(id, &last),
                    Err(error) => log::error!("{error}"),
                }
            }
        }
        Some((reading, shown))
    }

    /// Adds a reader of events; returns `None` while there is no memory for it.
    pub(super) fn join(&mut self, wanted: Wanted) -> Option<Reader> {
        if !self.memory.admits_reader() {
            return None;
        }
        self.unread.is_read(clock::boottime());
        Some(self.readers.join(wanted))
    }

    /// Counts what happened.
    fn count(&mut self, brief: &Brief) {
        self.metrics.count(brief);
        // A cgroup can be removed before the last events of its tasks. So its path is looked up at the first event with its id;
        // that can be any event, because tasks move. Most consecutive events are of one cgroup, so the last id is remembered.
        if let Some(id) = brief.cgroup_id.filter(|id| self.last_cgroup != Some(*id))
            && self.cgroups.place(id, brief.at.0).is_some()
        {
            self.last_cgroup = Some(id);
        }
    }

    /// Counts events that are not kept for readers; `at` is the time of the last one.
    fn leave_unread(&mut self, count: usize, at: Option<Ktime>) {
        self.readers.skip(count as u64, at);
        self.note_unread(count, at);
    }

    fn note_unread(&mut self, count: usize, at: Option<Ktime>) {
        if let Some(at) = at {
            self.unread.note(at, count as u64);
        }
    }

    /// Chooses which units have series. This does not wait for a scrape, so that units that end between two scrapes count too.
    pub(super) fn poll_units(&mut self, pipeline: &Pipeline) {
        let (now, top) = (clock::boottime(), self.settings.top);
        self.metrics.read_units(&pipeline.lineage, &mut self.cgroups, now, top);
    }

    /// Writes lives to the history whose last figures arrived after their release.
    pub(super) fn poll_history(&mut self, pipeline: &Pipeline) {
        let now = clock::boottime();
        if let Some(history) = &mut self.history {
            history.settle(now, self.wall.stamp(), |key| pipeline.lineage.life_by_key(key, now));
        }
    }

    /// Returns what a question reads of the history, if it is written.
    pub(super) fn read_history(&mut self, pipeline: &Pipeline) -> Option<HistoryReading> {
        self.poll_history(pipeline);
        self.history.as_mut()?.read(self.wall.stamp())
    }

    /// Makes the lineage report whole lives while a reader wants them.
    pub(super) fn poll_life_readers(&self, pipeline: &mut Pipeline) {
        let keeps_lives = self.history.as_ref().is_some_and(History::is_on);
        pipeline.lineage.set_reports_lives(keeps_lives || self.readers.wants_lives());
    }

    /// Measures the memory in use and frees memory as [`super::memory`] describes.
    pub(super) fn poll_memory(&mut self, pipeline: &mut Pipeline) {
        let Self { memory, readers, settings, .. } = self;
        memory.poll(&mut Held { readers, lineage: &mut pipeline.lineage, dead_lives: settings.dead_lives });
    }

    /// Takes a reading of the limits on pids.
    pub(super) fn take_limits(&mut self, pipeline: &Pipeline, reading: budget::PidLimits) {
        let tasks = pipeline.lineage.state_counts().present() as u64;
        self.budget.take(clock::boottime(), tasks, reading);
    }

    /// Returns an error with the reason if canaries are not seen. While no canary can be created, `Ok` has a text that says what shows
    /// that records arrive.
    pub(super) fn is_ready(&self, pipeline: &Pipeline) -> Result<Option<String>, String> {
        let every = self.settings.canary_every;
        if every.is_zero() {
            return Ok(None);
        }
        let now = clock::boottime();
        let limit = every * 3 + Duration::from_secs(10);
        let (canary, refusal) = (&pipeline.canary, pipeline.canary.refusal());
        let age = canary.age(now);
        if age.unwrap_or_else(|| Duration::from_nanos(now.since(self.started))) < limit {
            return Ok(refusal);
        }
        if let Some(refusal) = refusal {
            return match pipeline.proof_age(now) {
                Some(age) if age < limit => Ok(Some(format!("{refusal}; records come through"))),
                Some(age) => Err(format!("{refusal}, and no record has arrived for {} s", age.as_secs())),
                None => Err(format!("{refusal}, and nothing else shows that the hooks work")),
            };
        }
        // Canaries that were lost together with other records say nothing about the hooks: the daemon is overloaded.
        if !canary.goes_unseen() {
            return Ok(None);
        }
        Err(match age {
            Some(age) => format!("all records of a canary last arrived {} s ago", age.as_secs()),
            None => "no canary has been seen yet".into(),
        })
    }
}

/// The memory that can be freed.
struct Held<'a> {
    readers: &'a mut Readers,
    lineage: &'a mut RecordedLineage,
    /// The setting `dead_lives`.
    dead_lives: usize,
}

impl Shedding for Held<'_> {
    fn backlog(&self) -> Holding {
        Holding { count: self.readers.backlog_len() as u64, bytes: self.readers.backlog_bytes() as u64 }
    }

    fn shed_backlog(&mut self, keep: usize) -> usize {
        self.readers.shed(keep)
    }

    fn lives(&self) -> Holding {
        let bytes = self.lineage.memory().dead;
        Holding { count: self.lineage.remembered() as u64, bytes: bytes as u64 }
    }

    fn shed_lives(&mut self, keep: usize) -> usize {
        self.lineage.set_dead_lives(keep);
        self.lineage.shed_lives(keep)
    }

    fn restore(&mut self) {
        self.readers.restore();
        self.lineage.set_dead_lives(self.dead_lives);
    }

    fn give_back(&mut self) {
        memory::give_back();
    }
}

impl EventSink for Service {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.wall.follow();
        for effect in &*effects {
            self.count(&Brief::of(effect));
        }
        self.outputs.take(effects, self.readers.sequence() + 1, self.wall.stamp(), &self.cgroups);
        if !self.wants_effects() {
            return self.leave_unread(effects.len(), effects.last().map(|effect| effect.at));
        }
        if self.readers.count() == 0 {
            self.note_unread(effects.len(), effects.last().map(|effect| effect.at));
        }
        if let Some(history) = &mut self.history {
            history.take(effects, self.readers.sequence() + 1, self.wall.stamp(), &self.cgroups);
        }
        self.readers.publish(effects, self.wall.stamp(), &self.cgroups);
    }

    fn wants_effects(&self) -> bool {
        self.unread.is_kept()
            || self.history.as_ref().is_some_and(History::is_on)
            || self.readers.count() > 0
            || self.outputs.needs_all()
    }

    fn wanted_actions(&self) -> WantedActions {
        self.outputs.wanted()
    }

    fn take_briefs(&mut self, briefs: &[Brief]) {
        self.wall.follow();
        for brief in briefs {
            self.count(brief);
        }
        self.leave_unread(briefs.len(), briefs.last().map(|brief| brief.at));
    }

    fn max_batch_delay(&self) -> Duration {
        if self.readers.count() == 0 { MAX_BATCH_DELAY_UNREAD } else { MAX_BATCH_DELAY }
    }

    fn take_usage(&mut self, shares: &[(Option<u64>, Share)]) {
        let (now, top) = (clock::boottime(), self.settings.top);
        self.metrics.add_usage(shares, &mut self.cgroups, now, top);
    }

    fn take_cgroup_names(&mut self, names: &[CgroupName]) {
        for name in names {
            self.cgroups.learn(name.cgroup_id, name.parent_id, &name.name);
        }
    }

    fn take_stops(&mut self, stops: &[Arc<Stop>]) {
        let (now, top) = (clock::boottime(), self.settings.top);
        self.metrics.add_stops(stops, &mut self.cgroups, now, top);
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        log::warn!("{count} records lost: {}; the tree is compared with the kernel's tasks", place.reason());
        self.readers.publish_gap(place.name(), Some(count));
        self.outputs.lost(place.name(), count, self.wall.stamp());
        if let Some(history) = &mut self.history {
            history.lost(place.name(), count, self.wall.stamp());
        }
    }
}
