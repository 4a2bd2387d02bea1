//! What the daemon's memory is used for, its limit, and what was dropped for lack of memory.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::service::metrics::{
    families::{Families, int, set},
    sources::Sources,
};
use crate::{runtime::Pipeline, service::Holdings};

/// Metrics of the daemon's memory.
pub(in crate::service) struct MemoryMetrics {
    bytes: IntGaugeVec,
    objects: IntGaugeVec,
    used: IntGauge,
    limit: Gauge,
    shed: IntCounterVec,
    forgotten: IntCounter,
}

impl MemoryMetrics {
    pub(in crate::service) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            bytes: of.int_gauges(
                "taskscope_memory_held_bytes",
                "Memory of the daemon by what it is used for: living tasks, tasks that are exiting, zombies or just released (dying), slots of tasks that are gone and kept for reuse (spare), remembered ended processes (lives), the backlog for readers that resume, readers of events with their unread events.",
                &["of"],
            )?,
            objects: of.int_gauges(
                "taskscope_memory_held_objects",
                "Number of tasks, ended processes, events and readers behind taskscope_memory_held_bytes.",
                &["of"],
            )?,
            used: of.int_gauge(
                "taskscope_memory_used_bytes",
                "Memory that is compared with taskscope_memory_limit_bytes: of the memory cgroup without inactive file pages, or resident memory if --memory-max is given; 0 without a limit.",
            )?,
            limit: of.gauge(
                "taskscope_memory_limit_bytes",
                "Memory the daemon may use: --memory-max, else 90 % of its memory cgroup's limit; +Inf without one. Above 80 % of it the daemon drops the backlog, then ended processes, and then refuses new readers.",
            )?,
            shed: of.counters(
                "taskscope_memory_shed_total",
                "What the daemon dropped because memory ran out: events of the backlog, remembered ended processes; and readers that it refused.",
                &["what"],
            )?,
            forgotten: of.counter(
                "taskscope_lives_forgotten_early_total",
                "Ended processes that were forgotten before --dead-lives-age, because there were more than --dead-lives or too little memory.",
            )?,
        })
    }

    pub(in crate::service) fn read(&self, pipeline: &Pipeline, sources: &Sources<'_>) {
        for (of, holding) in Holdings::of(&pipeline.lineage, sources.readers).named() {
            self.bytes.with_label_values(&[of]).set(int(holding.bytes));
            self.objects.with_label_values(&[of]).set(int(holding.count));
        }
        self.used.set(sources.memory.level.map_or(0, |level| int(level.used)));
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^52")]
        self.limit.set(sources.memory.level.map_or(f64::INFINITY, |level| level.max as f64));
        set(&self.forgotten, pipeline.lineage.lives_crowded_out());
        let shed = sources.memory.shed;
        for (what, count) in [("backlog", shed.backlog), ("lives", shed.lives), ("readers", shed.readers)] {
            set(&self.shed.with_label_values(&[what]), count);
        }
    }
}
