//! Histograms of durations: zombies, exits, and the time from fork to exec.

use prometheus::{Histogram, HistogramOpts, Registry, local::LocalHistogram};

use crate::service::metrics::families::seconds;

/// Upper bounds of zombie durations, seconds: from a prompt wait to an incident.
const ZOMBIE_BUCKETS: [f64; 10] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];

/// Upper bounds of exit durations, seconds: from a small process to one whose memory or disk holds it.
const EXIT_BUCKETS: [f64; 8] = [0.0001, 0.0003, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0];

/// Upper bounds of the time from fork to exec, seconds: from a vfork to a child that waits for a lock or for memory.
const TO_EXEC_BUCKETS: [f64; 9] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0, 10.0];

/// Upper bounds of how long programs run, seconds: from a command of a script to a service.
const RUN_BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];

/// How long things took.
pub(super) struct Durations {
    pub(super) zombie: LocalHistogram,
    pub(super) exit: LocalHistogram,
    pub(super) to_exec: LocalHistogram,
    pub(super) run: LocalHistogram,
}

impl Durations {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets);
        let zombie = histogram(
            "taskscope_zombie_duration_seconds",
            "How long processes were zombies before they were reaped: the time until their parent called wait(2). With tracepoints it can be too long by up to an RCU grace period.",
            &ZOMBIE_BUCKETS,
        )?;
        let exit = histogram(
            "taskscope_exit_duration_seconds",
            "How long tasks were in do_exit() before exit_notify(): memory, files and locks are released there.",
            &EXIT_BUCKETS,
        )?;
        let to_exec = histogram(
            "taskscope_fork_to_exec_duration_seconds",
            "How long processes took from copy_process() to their first execve(2): fork, what the child does before it execs, and the exec itself. Excludes processes that are older than taskscope.",
            &TO_EXEC_BUCKETS,
        )?;
        let run = histogram(
            "taskscope_exec_to_exit_duration_seconds",
            "How long programs ran: from the last execve(2) of a process to the end of its last thread. Excludes execs before taskscope started.",
            &RUN_BUCKETS,
        )?;
        Ok(Self { zombie, exit, to_exec, run })
    }

    /// Adds what was measured to the registry.
    pub(super) fn flush(&self) {
        let Self { zombie, exit, to_exec, run } = self;
        [zombie, exit, to_exec, run].into_iter().for_each(LocalHistogram::flush);
    }
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> prometheus::Result<LocalHistogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram.local())
}

/// Adds a time, if it is known.
pub(super) fn observe(histogram: &LocalHistogram, ns: Option<u64>) {
    if let Some(ns) = ns {
        histogram.observe(seconds(ns));
    }
}
