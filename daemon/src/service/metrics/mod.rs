//! /metrics, one file for each subject. Every label has a bounded set of values, and no label is a pid.
//!
//! - `events/`: counters of events
//! - `units/`: by unit and container
//! - gauges: `tasks`, `ended`, `crash_loops`, `leaks`, `pids`, `sched`
//! - `health/`: about the daemon itself
//! - `families`: registers metrics; `sources`: where a scrape reads them
//!
//! Counters of events are raised with each effect; gauges are read from the owner of the lineage at the scrape.

mod crash_loops;
mod ended;
mod events;
mod families;
mod health;
mod leaks;
mod open_metrics;
mod outputs;
mod pids;
mod sched;
mod sources;
mod tasks;
mod units;

use std::sync::Arc;

use prometheus::{Encoder as _, Registry, TextEncoder};

pub use self::events::EventMetrics;
pub(super) use self::sources::Sources;
use self::{
    crash_loops::CrashLoopMetrics,
    ended::EndedMetrics,
    events::{effects::EffectCounters, stops::StopMetrics},
    families::Families,
    health::{
        history::HistoryMetrics, hooks::HookMetrics, http::HttpMetrics, memory::MemoryMetrics,
        own_process::OwnProcess, trust::TrustMetrics,
    },
    leaks::LeakMetrics,
    open_metrics::Exemplar,
    outputs::OutputMetrics,
    pids::PidMetrics,
    sched::SchedMetrics,
    tasks::TaskMetrics,
    units::{EventsByCgroup, UnitTasks, UnitUsage},
};
use super::labels::{names, pod_names, series_limiter, top, unit_labels, unit_labels::UnitLabels};
use super::scrape_format::ScrapeFormat;
use crate::{
    cgroup::Cgroups,
    export::Stamp,
    fd::spare,
    lineage::{
        Brief, Lineage, Share,
        death::{Cause, Stop},
        id::Ktime,
    },
    runtime::Pipeline,
};

/// All metrics.
pub(super) struct Metrics {
    registry: Registry,
    effects: EffectCounters,
    tasks: TaskMetrics,
    ended: EndedMetrics,
    unit_usage: UnitUsage,
    unit_events: EventsByCgroup,
    unit_tasks: UnitTasks,
    stops: StopMetrics,
    crash_loops: CrashLoopMetrics,
    leaks: LeakMetrics,
    pids: PidMetrics,
    trust: TrustMetrics,
    hooks: HookMetrics,
    http: HttpMetrics,
    memory: MemoryMetrics,
    history: HistoryMetrics,
    outputs: OutputMetrics,
    /// Only with `--sched`.
    sched: Option<SchedMetrics>,
}

impl Metrics {
    /// Returns all metrics, at zero.
    pub(super) fn new(has_sched: bool) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let effects = EffectCounters::register(&registry)?;
        let of = Families(&registry);
        let (tasks, pids) = (TaskMetrics::register(&of)?, PidMetrics::register(&of)?);
        let (ended, unit_usage) = (EndedMetrics::register(&of)?, UnitUsage::register(&of)?);
        let (trust, hooks) = (TrustMetrics::register(&of)?, HookMetrics::register(&of)?);
        let (http, stops) = (HttpMetrics::register(&of)?, StopMetrics::register(&of)?);
        let (memory, crash_loops) = (MemoryMetrics::register(&of)?, CrashLoopMetrics::register(&of)?);
        let (history, leaks) = (HistoryMetrics::register(&of)?, LeakMetrics::register(&of)?);
        let (outputs, unit_tasks) = (OutputMetrics::register(&of)?, UnitTasks::register(&of)?);
        let sched = if has_sched { Some(SchedMetrics::register(&of)?) } else { None };
        of.int_gauges("taskscope_build_info", "Version of this taskscope; always 1.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(OwnProcess::new()?))?;
        Ok(Self {
            registry,
            effects,
            tasks,
            ended,
            unit_usage,
            unit_events: EventsByCgroup::default(),
            unit_tasks,
            stops,
            crash_loops,
            leaks,
            pids,
            trust,
            hooks,
            http,
            memory,
            history,
            outputs,
            sched,
        })
    }

    /// Registers counters of failed forks, because the attached hooks report them.
    pub(super) fn count_failures(&mut self) -> prometheus::Result<()> {
        self.effects.register_failures(&self.registry)
    }

    /// Counts an effect.
    pub(super) fn count(&mut self, brief: &Brief) {
        self.effects.count(brief);
        self.unit_events.count(brief);
    }

    /// Counts what tasks of some cgroups used, and the events since the last call. A cgroup can be gone soon after its tasks, so this
    /// cannot wait for a scrape.
    pub(super) fn add_usage(
        &mut self,
        shares: &[(Option<u64>, Share)],
        cgroups: &mut Cgroups,
        now: Ktime,
        top: usize,
    ) {
        for (cgroup, share) in shares {
            self.unit_usage.add(UnitLabels::of(*cgroup, cgroups, now), share, top);
        }
        self.unit_usage.age(now, top);
        self.add_unit_events(cgroups, now, top);
    }

    fn add_unit_events(&mut self, cgroups: &mut Cgroups, now: Ktime, top: usize) {
        for (cgroup, events) in self.unit_events.take() {
            self.unit_tasks.add(UnitLabels::of(cgroup, cgroups, now), &events, top);
        }
    }

    /// Reads the present tasks of units, and chooses again which units have series.
    pub(super) fn read_units(&mut self, lineage: &Lineage, cgroups: &mut Cgroups, now: Ktime, top: usize) {
        self.add_unit_events(cgroups, now, top);
        self.unit_tasks.read(lineage, cgroups, now, top);
    }

    /// Counts units and containers that have stopped. Their cgroups can be gone soon.
    pub(super) fn add_stops(&mut self, stops: &[Arc<Stop>], cgroups: &mut Cgroups, now: Ktime, top: usize) {
        for stop in stops {
            self.stops.count(stop, UnitLabels::of(Some(stop.cgroup_id), cgroups, now), top);
        }
    }

    /// Returns the text of a scrape.
    pub(super) fn scrape(
        &mut self,
        pipeline: &Pipeline,
        mut sources: Sources<'_>,
        format: ScrapeFormat,
    ) -> prometheus::Result<String> {
        self.effects.flush();
        self.tasks.read(pipeline, &mut sources);
        self.read_units(&pipeline.lineage, sources.cgroups, sources.now, sources.top);
        self.ended.read(&pipeline.lineage);
        self.crash_loops.read(&pipeline.lineage, &mut sources);
        self.leaks.read(pipeline, &mut sources);
        self.pids.read(sources.budget);
        self.trust.read(pipeline, &sources);
        self.hooks.read(pipeline);
        self.http.read(&sources);
        self.memory.read(pipeline, &sources);
        self.history.read(sources.history);
        self.outputs.read(sources.outputs);
        if let (Some(metrics), Some((reading, shown))) = (&self.sched, &sources.sched) {
            metrics.show(reading, shown);
        }
        // The collector of process_* reads /proc, and leaves out what it cannot open.
        let mut families = spare::lend(|| self.registry.gather());
        pod_names::add(&mut families, sources.cgroups);
        if format == ScrapeFormat::OpenMetrics {
            return Ok(open_metrics::encode(&families, &exemplars(&pipeline.lineage, sources.stamp)));
        }
        let mut text = Vec::with_capacity(32 << 10);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century are exact")]
/// Returns the processes that counters point to: the oldest zombie that was flagged, and the last one that the out-of-memory killer
/// ended.
fn exemplars(lineage: &Lineage, stamp: &Stamp) -> Vec<Exemplar> {
    let exemplar = |counter, label, key, at| {
        let at = stamp.wall_ns(at) as f64 / 1e9;
        Some(Exemplar { counter, label, entity_id: stamp.entity_id(key)?, at })
    };
    let zombie = lineage.zombies().next().filter(|_| lineage.flagged_count() > 0);
    let zombie = zombie.and_then(|zombie| {
        exemplar("taskscope_zombies_flagged_total", None, zombie.key(), zombie.zombie_since()?)
    });
    let killed = lineage.deaths().find(|death| death.cause == Cause::Oom);
    let killed = killed.and_then(|death| {
        exemplar("taskscope_deaths_total", Some(("cause", Cause::Oom.code())), death.key, death.at)
    });
    zombie.into_iter().chain(killed).collect()
}
