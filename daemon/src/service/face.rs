//! The daemon's face: everything that happens goes to the counters and to the readers of events.

use std::time::Duration;

use super::{
    budget::Budget,
    config::Settings,
    hub::{Hub, Reader, Wanted},
    metrics::{Metrics, Sources},
};
use crate::{
    cgroup::Cgroups,
    export::Stamp,
    kernel::clock,
    lineage::{
        Lineage,
        effect::{Action, Effect},
        id::Ktime,
    },
    runtime::{Face, Pipeline, Place},
};

/// Two measurements of where the wall clock stands differ by less than this unless it was set.
const NOISE_NS: i128 = 100_000;

/// What a service tells the world.
pub struct Service {
    pub(super) metrics: Metrics,
    pub(super) hub: Hub,
    pub(super) cgroups: Cgroups,
    pub(super) budget: Budget,
    pub(super) stamp: Stamp,
    /// Tells this daemon from the one before it.
    pub(super) instance: String,
    pub(super) started: Ktime,
    pub(super) settings: Settings,
    wall_offset_ns: i128,
}

impl Service {
    pub(super) fn new(settings: Settings) -> prometheus::Result<Self> {
        let wall_offset_ns = clock::wall_offset_ns();
        let boot_id = clock::boot_id().unwrap_or_else(|error| {
            log::warn!("reading the boot id: {error}; entity ids are not unique across boots");
            "00000000".into()
        });
        let started = clock::boottime();
        Ok(Self {
            metrics: Metrics::new()?,
            hub: Hub::new(settings.backlog),
            cgroups: Cgroups::of_host(),
            budget: Budget::default(),
            stamp: Stamp::new(&boot_id, wall_offset_ns),
            instance: format!("{:x}", started.0),
            started,
            settings,
            wall_offset_ns,
        })
    }

    /// The text of a scrape.
    pub(super) fn scrape(&mut self, pipeline: &Pipeline) -> prometheus::Result<String> {
        let sources = Sources {
            now: clock::boottime(),
            cgroups: &mut self.cgroups,
            budget: &self.budget,
            readers: (self.hub.readers(), self.hub.lost),
            top: self.settings.top,
        };
        self.metrics.scrape(pipeline, sources)
    }

    /// Adds a reader of events.
    pub(super) fn join(&mut self, wanted: Wanted) -> Reader {
        self.hub.join(wanted, &self.stamp, &self.cgroups)
    }

    /// Looks at the limits of pids.
    pub(super) fn look_at_budget(&mut self, pipeline: &Pipeline) {
        let tasks = pipeline.lineage.census().present() as u64;
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

    /// The wall clock can be set. What is less than that is the noise of measuring.
    fn follow_wall_clock(&mut self) {
        let offset_ns = clock::wall_offset_ns();
        if (offset_ns - self.wall_offset_ns).abs() > NOISE_NS {
            self.wall_offset_ns = offset_ns;
            self.stamp.set_wall_offset(offset_ns);
        }
    }
}

impl Face for Service {
    fn take(&mut self, effects: &[Effect], _lineage: &Lineage) {
        self.follow_wall_clock();
        for effect in effects {
            self.metrics.count(effect);
            // A cgroup can be gone before its tasks' last events: its path is looked for when it is first heard of.
            if matches!(effect.action, Action::Forked { .. } | Action::Execed { .. })
                && let Some(id) = effect.thread.cgroup_id
            {
                self.cgroups.place(id, effect.at.0);
            }
        }
        self.hub.tell(effects, &self.stamp, &self.cgroups);
    }

    fn lost(&mut self, count: u64) {
        self.lost_at(Place::Ring, count);
    }

    fn lost_at(&mut self, place: Place, count: u64) {
        log::warn!("{count} records lost: {}; the tree is compared with the kernel's tasks", place.reason());
        self.hub.tell_gap(place.name(), Some(count), &self.stamp);
    }
}
