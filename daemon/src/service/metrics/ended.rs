//! What ended tasks used, by their kind.

use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec};

use super::{
    families::{Families, seconds, set},
    names::KINDS,
};
use crate::lineage::Lineage;

/// Counters of one kind.
struct KindCounters {
    user: Counter,
    system: Counter,
    delay: Counter,
    voluntary: IntCounter,
    involuntary: IntCounter,
    minor: IntCounter,
    major: IntCounter,
}

/// Metrics of the usage of ended tasks.
pub(super) struct EndedMetrics {
    kinds: Vec<KindCounters>,
    unknown: IntCounter,
}

fn kinds(
    cpu: &CounterVec,
    delay: &CounterVec,
    switches: &IntCounterVec,
    faults: &IntCounterVec,
) -> Vec<KindCounters> {
    let of = |name: &str| KindCounters {
        user: cpu.with_label_values(&[name, "user"]),
        system: cpu.with_label_values(&[name, "system"]),
        delay: delay.with_label_values(&[name]),
        voluntary: switches.with_label_values(&[name, "voluntary"]),
        involuntary: switches.with_label_values(&[name, "involuntary"]),
        minor: faults.with_label_values(&[name, "minor"]),
        major: faults.with_label_values(&[name, "major"]),
    };
    KINDS.iter().map(|kind| of(kind.name())).collect()
}

impl EndedMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let cpu = of.seconds(
            "taskscope_ended_cpu_seconds_total",
            "CPU time that ended tasks had used, by kind (process: main threads) and mode. Includes processes too short-lived for a poller to see. User and system are split as the kernel does it for wait4(2), by timer ticks; their sum is exact.",
            &["kind", "mode"],
        )?;
        let delay = of.seconds(
            "taskscope_ended_run_delay_seconds_total",
            "Time that ended tasks had waited for a CPU while ready to run, by kind.",
            &["kind"],
        )?;
        let switches = of.counters(
            "taskscope_ended_context_switches_total",
            "Context switches of ended tasks, by kind and type: voluntary (the task waited) or involuntary (it was preempted).",
            &["kind", "type"],
        )?;
        let faults = of.counters(
            "taskscope_ended_page_faults_total",
            "Page faults of ended tasks, by kind and type: a major fault waited for a disk.",
            &["kind", "type"],
        )?;
        let unknown = of.counter(
            "taskscope_ended_unaccounted_total",
            "Ended tasks whose usage is unknown because their records were lost. Their usage is missing from the counters of ended tasks.",
        )?;
        Ok(Self { kinds: kinds(&cpu, &delay, &switches, &faults), unknown })
    }

    pub(super) fn read(&self, lineage: &Lineage) {
        for (kind, counters) in KINDS.iter().zip(&self.kinds) {
            let sum = lineage.ended(*kind);
            for (counter, ns) in [
                (&counters.user, sum.utime_ns),
                (&counters.system, sum.stime_ns),
                (&counters.delay, sum.run_delay_ns),
            ] {
                counter.reset();
                counter.inc_by(seconds(ns));
            }
            set(&counters.voluntary, sum.nvcsw);
            set(&counters.involuntary, sum.nivcsw);
            set(&counters.minor, sum.min_flt);
            set(&counters.major, sum.maj_flt);
        }
        set(&self.unknown, lineage.ended_unknown());
    }
}
