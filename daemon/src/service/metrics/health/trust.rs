//! Losses, repairs and canaries: whether the other metrics can be trusted.

use probe_common::{Kind, Lost};
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

use crate::service::metrics::{
    families::{Families, int, seconds, set},
    sources::Sources,
};
use crate::{panics, runtime::Pipeline};

/// Metrics of losses, repairs and canaries.
pub(in crate::service) struct TrustMetrics {
    received: IntCounterVec,
    dropped: IntCounterVec,
    shed: IntCounterVec,
    lost: IntCounterVec,
    uncompared: IntGauge,
    repaired: IntCounterVec,
    drift: IntCounterVec,
    hidden: IntCounterVec,
    concluded: IntCounter,
    resyncs: IntCounterVec,
    resyncs_failed: IntCounter,
    resync_seconds: Gauge,
    canaries: IntCounterVec,
    canary_age: Gauge,
    panics: IntCounter,
}

impl TrustMetrics {
    pub(in crate::service) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            received: of.counters(
                "taskscope_records_received_total",
                "Records received from the kernel, by kind.",
                &["kind"],
            )?,
            dropped: of.counters(
                "taskscope_records_dropped_total",
                "Records for which the ring between kernel and daemon had no room, by kind. A resync follows.",
                &["kind"],
            )?,
            shed: of.counters(
                "taskscope_records_shed_total",
                "Records left out by rule while the ring was nearly full, so that exits and releases still find room, by kind. A resync follows, except after signals and changes of cgroups, on which the tree does not depend.",
                &["kind"],
            )?,
            lost: of.counters(
                "taskscope_records_lost_total",
                "Records lost in another way, by cause: calls of programs that the kernel skipped, functions whose return was not seen, records not understood.",
                &["cause"],
            )?,
            uncompared: of.int_gauge(
                "taskscope_records_uncompared",
                "Records lost or shed since the last complete comparison with the kernel's tasks. While this is not 0, the tree may differ from the kernel's tasks.",
            )?,
            repaired: of.counters(
                "taskscope_repaired_total",
                "Facts repaired by reading all tasks after a known loss, by kind.",
                &["kind"],
            )?,
            drift: of.counters(
                "taskscope_drift_total",
                "Facts repaired although no loss was known, by kind: should be 0.",
                &["kind"],
            )?,
            hidden: of.counters(
                "taskscope_hidden_total",
                "Facts that only comparisons found, because this kernel hides them from eBPF programs, by kind: forks by hidden tasks, their exits and names, releases that interrupts on top of them may have run, canaries with such a release. They do not count as drift. 0 on most kernels.",
                &["kind"],
            )?,
            concluded: of.counter(
                "taskscope_ends_concluded_total",
                "Tasks whose release no record showed. The daemon concludes it from the kernel's rules, or 5 s after their death. A kernel that hides some tasks from programs also hides what interrupts on them do, such as releasing other tasks.",
            )?,
            resyncs: of.counters(
                "taskscope_resyncs_total",
                "Comparisons of the tree with the kernel's tasks, by cause: the start, a loss, doubt (a zombie that /proc does not show), a periodic audit.",
                &["cause"],
            )?,
            resyncs_failed: of.counter("taskscope_resyncs_failed_total", "Comparisons that failed.")?,
            resync_seconds: of.gauge("taskscope_resync_duration_seconds", "How long the last comparison took.")?,
            canaries: of.counters(
                "taskscope_canaries_total",
                "Canaries, short-lived child processes of taskscope, by whether all their records arrived; no_pid means that the canary could not be created because no pid or memory was left. Those whose release this kernel may have hidden are in taskscope_hidden_total.",
                &["result"],
            )?,
            canary_age: of.gauge(
                "taskscope_canary_age_seconds",
                "Time since all records of a canary arrived; -1 before the first. It grows while observing is broken.",
            )?,
            panics: of.counter(
                "taskscope_panics_total",
                "Panics that affected only one answer each. Each is a bug of taskscope: please report the line in the log.",
            )?,
        })
    }

    pub(in crate::service) fn read(&self, pipeline: &Pipeline, sources: &Sources<'_>) {
        let counts = &pipeline.counts;
        for kind in Kind::ALL {
            let at = |values: &[u64]| values.get(kind as usize).copied().unwrap_or(0);
            set(&self.received.with_label_values(&[kind.name()]), at(&counts.received));
            set(&self.dropped.with_label_values(&[kind.name()]), at(&counts.kernel.dropped));
            set(&self.shed.with_label_values(&[kind.name()]), at(&counts.kernel.shed));
        }
        for (cause, count) in Lost::ALL.iter().zip(counts.unreported()) {
            set(&self.lost.with_label_values(&[cause.name()]), count);
        }
        set(&self.lost.with_label_values(&["program_skipped"]), counts.missed);
        set(&self.lost.with_label_values(&["not_understood"]), counts.undecoded);
        let repairs = &pipeline.repairs;
        for (family, repairs) in [(&self.repaired, &repairs.repaired), (&self.drift, &repairs.drift)] {
            for (kind, count) in repairs.by_kind() {
                set(&family.with_label_values(&[kind]), count);
            }
        }
        self.uncompared.set(int(pipeline.uncompared()));
        for (kind, count) in pipeline.hidden_counts().by_kind() {
            set(&self.hidden.with_label_values(&[kind]), count);
        }
        set(&self.concluded, pipeline.lineage.stats().concluded);
        for (why, count) in repairs.by_cause() {
            set(&self.resyncs.with_label_values(&[why.name()]), count);
        }
        set(&self.resyncs_failed, repairs.failed);
        self.resync_seconds.set(seconds(repairs.last_ns));
        set(&self.canaries.with_label_values(&["whole"]), pipeline.canary.whole);
        set(&self.canaries.with_label_values(&["broken"]), pipeline.canary.broken);
        set(&self.canaries.with_label_values(&["no_pid"]), pipeline.canary.no_pid);
        self.canary_age.set(pipeline.canary.age(sources.now).map_or(-1.0, |age| age.as_secs_f64()));
        set(&self.panics, panics::count());
    }
}
