//! The daemon's face: everything that happens goes to the counters and to the readers of events.

use std::time::Duration;

use super::{
    budget::Budget,
    config::Settings,
    hub::{Hub, Reader, Wanted},
    losses::Losses,
    metrics::{Home, Metrics, Sources},
    sched::{Ledger, Shown},
};
use crate::{
    cgroup::Cgroups,
    kernel::{
        clock,
        sched::{CGROUPS, Reading},
    },
    lineage::{
        Lineage,
        effect::{Action, Effect},
        id::Ktime,
    },
    runtime::{Face, PATIENCE, Pipeline, Place, Wall},
};

/// How long an event may wait where nobody reads events: a look at the ring then serves more of them. Questions do not wait for
/// it, and what a record names in /proc or among the cgroups is still there.
const PATIENCE_UNREAD: Duration = Duration::from_millis(10);

/// What a service tells the world.
pub struct Service {
    pub(super) metrics: Metrics,
    pub(super) hub: Hub,
    pub(super) cgroups: Cgroups,
    pub(super) budget: Budget,
    sched: Ledger,
    sched_losses: Losses,
    pub(super) wall: Wall,
    /// Tells this daemon from the one before it.
    pub(super) instance: String,
    pub(super) started: Ktime,
    pub(super) settings: Settings,
}

impl Service {
    pub(super) fn new(settings: Settings) -> prometheus::Result<Self> {
        let started = clock::boottime();
        let instance = format!("{:x}", started.0);
        Ok(Self {
            metrics: Metrics::new(settings.sched)?,
            hub: Hub::new(settings.backlog, &instance),
            cgroups: Cgroups::of_host(),
            budget: Budget::default(),
            sched: Ledger::default(),
            sched_losses: Losses::default(),
            wall: Wall::of_this_boot(),
            instance,
            started,
            settings,
        })
    }

    /// The text of a scrape.
    pub(super) fn scrape(&mut self, pipeline: &mut Pipeline) -> prometheus::Result<String> {
        let sched = self.look_at_sched(pipeline);
        self.tick(&mut pipeline.lineage);
        let sources = Sources {
            now: clock::boottime(),
            cgroups: &mut self.cgroups,
            budget: &self.budget,
            readers: (self.hub.readers(), self.hub.lost),
            top: self.settings.top,
            sched,
        };
        self.metrics.scrape(pipeline, sources)
    }

    /// Reads what `--sched` counted, and gives back the histograms of cgroups that are gone before there are too few.
    pub(super) fn look_at_sched(&mut self, pipeline: &mut Pipeline) -> Option<(Reading, Shown)> {
        let maps = pipeline.observer.sched.as_mut()?;
        let now = clock::boottime();
        let taken = maps.read().map(|reading| {
            let cgroups = &mut self.cgroups;
            let find = |id| cgroups.place(id, now.0).map(|place| Home::at(place));
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

    /// Adds a reader of events.
    pub(super) fn join(&mut self, wanted: Wanted) -> Reader {
        self.hub.join(wanted, self.wall.stamp(), &self.cgroups)
    }

    /// Looks at the limits of pids.
    pub(super) fn look_at_budget(&mut self, pipeline: &Pipeline) {
        let tasks = pipeline.lineage.state_counts().present() as u64;
        self.budget.look(clock::boottime(), tasks, &self.cgroups);
    }

    /// Whether lives come through, and if not why.
    pub(super) fn is_ready(&self, pipeline: &Pipeline) -> Result<(), String> {
        let every = self.settings.canary_every;
        if every.is_zero() {
            return Ok(());
        }
        let now = clock::boottime();
        let limit = every * 3 + Duration::from_secs(10);
        let age = pipeline.canary.age(now);
        if age.unwrap_or_else(|| Duration::from_nanos(now.since(self.started))) < limit {
            return Ok(());
        }
        Err(match age {
            Some(age) => format!("the last canary came through whole {} s ago", age.as_secs()),
            None => "no canary ever came through whole".into(),
        })
    }
}

impl Face for Service {
    fn take(&mut self, effects: &[Effect], _lineage: &Lineage) {
        self.wall.follow();
        for effect in effects {
            self.metrics.count(effect);
            // A cgroup can be gone before its tasks' last events: its path is looked for when it is first heard of.
            if matches!(effect.action, Action::Forked { .. } | Action::Execed { .. })
                && let Some(id) = effect.thread.cgroup_id
            {
                self.cgroups.place(id, effect.at.0);
            }
        }
        self.hub.tell(effects, self.wall.stamp(), &self.cgroups);
    }

    fn patience(&self) -> Duration {
        if self.hub.readers() == 0 { PATIENCE_UNREAD } else { PATIENCE }
    }

    fn tick(&mut self, lineage: &mut Lineage) {
        self.metrics.settle(lineage, &mut self.cgroups, clock::boottime(), self.settings.top);
    }

    fn lost(&mut self, count: u64) {
        self.lost_at(Place::Ring, count);
    }

    fn lost_at(&mut self, place: Place, count: u64) {
        log::warn!("{count} records lost: {}; the tree is compared with the kernel's tasks", place.reason());
        self.hub.tell_gap(place.name(), Some(count));
    }
}
