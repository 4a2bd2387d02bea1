//! /metrics: what an operator is told in numbers. Every label set is closed, and no label is a pid.
//!
//! Counters of what happens are raised with each effect; everything that is a state is read from its owner at the scrape.

mod effects;
mod ended;
mod families;
mod history;
mod hooks;
mod http;
mod memory;
mod names;
mod pids;
mod sched;
mod tasks;
mod top;
mod trust;
mod unit_labels;
mod units;

use prometheus::{Encoder as _, Registry, TextEncoder};

pub(super) use self::unit_labels::UnitLabels;
use self::{
    effects::EffectCounters, ended::EndedMetrics, families::Families, history::HistoryMetrics,
    hooks::HookMetrics, http::HttpMetrics, memory::MemoryMetrics, pids::PidMetrics, sched::SchedMetrics,
    tasks::TaskMetrics, trust::TrustMetrics, units::Units,
};
use super::{budget::Budget, http::ConnectionCounts, memory::MemoryGuard, readers::Readers, sched::Shown};
use crate::{
    cgroup::Cgroups,
    fd::spare,
    history::History,
    kernel::sched::Reading,
    lineage::{Share, effect::Effect, id::Ktime},
    runtime::Pipeline,
};

/// Everything that /metrics shows.
pub(super) struct Metrics {
    registry: Registry,
    effects: EffectCounters,
    tasks: TaskMetrics,
    ended: EndedMetrics,
    units: Units,
    pids: PidMetrics,
    trust: TrustMetrics,
    hooks: HookMetrics,
    http: HttpMetrics,
    memory: MemoryMetrics,
    history: HistoryMetrics,
    /// Only with `--sched`.
    sched: Option<SchedMetrics>,
}

/// What a scrape looks at besides the pipeline.
pub(super) struct Sources<'a> {
    /// The kernel's clock.
    pub(super) now: Ktime,
    /// Where tasks live.
    pub(super) cgroups: &'a mut Cgroups,
    /// Pids left.
    pub(super) budget: &'a Budget,
    /// Readers of events.
    pub(super) readers: &'a Readers,
    /// Connections of all addresses.
    pub(super) connections: &'a ConnectionCounts,
    /// Memory left, and what was given up.
    pub(super) memory: &'a MemoryGuard,
    /// What is kept on disk.
    pub(super) history: Option<&'a History>,
    /// Culprits named.
    pub(super) top: usize,
    /// What `--sched` counted.
    pub(super) sched: Option<(Reading, Shown)>,
}

impl Metrics {
    /// All metrics, at zero.
    pub(super) fn new(has_sched: bool) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let effects = EffectCounters::register(&registry)?;
        let of = Families(&registry);
        let (tasks, pids) = (TaskMetrics::register(&of)?, PidMetrics::register(&of)?);
        let (ended, units) = (EndedMetrics::register(&of)?, Units::register(&of)?);
        let (trust, hooks) = (TrustMetrics::register(&of)?, HookMetrics::register(&of)?);
        let http = HttpMetrics::register(&of)?;
        let memory = MemoryMetrics::register(&of)?;
        let history = HistoryMetrics::register(&of)?;
        let sched = if has_sched { Some(SchedMetrics::register(&of)?) } else { None };
        of.counts("taskscope_build_info", "Version of this taskscope; always 1.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self { registry, effects, tasks, ended, units, pids, trust, hooks, http, memory, history, sched })
    }

    /// Failed calls of fork(2) are seen by the hooks in use.
    pub(super) fn count_failures(&mut self) -> prometheus::Result<()> {
        self.effects.register_failures(&self.registry)
    }

    /// Counts what happened.
    pub(super) fn count(&self, effect: &Effect) {
        self.effects.count(effect);
    }

    /// Counts what tasks of some cgroups used. A cgroup can be gone soon after them, so this cannot wait for a scrape.
    pub(super) fn add_usage(
        &mut self,
        shares: &[(Option<u64>, Share)],
        cgroups: &mut Cgroups,
        now: Ktime,
        top: usize,
    ) {
        for (cgroup, share) in shares {
            self.units.add(UnitLabels::of(*cgroup, cgroups, now), share, top);
        }
        self.units.age(now, top);
    }

    /// The text of a scrape.
    pub(super) fn scrape(&self, pipeline: &Pipeline, mut sources: Sources<'_>) -> prometheus::Result<String> {
        self.tasks.read(pipeline, &mut sources);
        self.ended.read(&pipeline.lineage);
        self.pids.read(sources.budget);
        self.trust.read(pipeline, &sources);
        self.hooks.read(pipeline);
        self.http.read(&sources);
        self.memory.read(pipeline, &sources);
        self.history.read(sources.history);
        if let (Some(metrics), Some((reading, shown))) = (&self.sched, &sources.sched) {
            metrics.show(reading, shown);
        }
        let mut text = Vec::with_capacity(32 << 10);
        // The collector of process_* reads /proc, and leaves out what it cannot open.
        let families = spare::lend(|| self.registry.gather());
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
