//! How each hook is attached, and what the programs cost.

use prometheus::{CounterVec, IntCounterVec, IntGaugeVec};

use crate::runtime::Pipeline;
use crate::service::metrics::families::{Families, seconds, set};

/// Metrics of the hooks and their programs.
pub(in crate::service) struct HookMetrics {
    hooks: IntGaugeVec,
    run_seconds: CounterVec,
    runs: IntCounterVec,
    skipped: IntCounterVec,
}

impl HookMetrics {
    pub(in crate::service) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            hooks: of.int_gauges(
                "taskscope_hook_info",
                "How each hook is attached (rung): by kprobe, fentry or tracepoint, or none; always 1.",
                &["hook", "rung"],
            )?,
            run_seconds: of.seconds(
                "taskscope_program_run_seconds_total",
                "Time spent in each eBPF program since it was loaded; counted by the kernel while kernel.bpf_stats_enabled is 1.",
                &["program"],
            )?,
            runs: of.counters(
                "taskscope_program_runs_total",
                "Runs of each eBPF program since it was loaded; counted by the kernel while kernel.bpf_stats_enabled is 1.",
                &["program"],
            )?,
            skipped: of.counters(
                "taskscope_program_skipped_total",
                "Calls of each eBPF program that the kernel skipped because it already ran on that CPU; they count as lost, except those of --sched.",
                &["program"],
            )?,
        })
    }

    pub(in crate::service) fn read(&self, pipeline: &Pipeline) {
        self.hooks.reset();
        let observer = &pipeline.observer;
        for hook in observer.hooks.iter().chain(&observer.sched_hooks) {
            let rung = hook.rung.as_deref().unwrap_or("none");
            self.hooks.with_label_values(&[hook.hook, rung]).set(1);
        }
        for (program, stats) in observer.program_stats().chain(observer.sched_program_stats()) {
            let run_seconds = self.run_seconds.with_label_values(&[program]);
            run_seconds.reset();
            run_seconds.inc_by(seconds(stats.run_time_ns));
            set(&self.runs.with_label_values(&[program]), stats.run_count);
            set(&self.skipped.with_label_values(&[program]), stats.missed.unwrap_or(0));
        }
    }
}
