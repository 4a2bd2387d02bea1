//! The `process_*` metrics that every client library of Prometheus exports. The collector of the `prometheus` crate brings two more
//! crates and a second version of `rustix`, which take a sixth of the time of a first build.

use std::{fs, time::Duration};

use prometheus::{
    Counter, Gauge, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, Timespec, clock_gettime},
};

use super::families::int;
use crate::procfs::{NS_PER_TICK, OwnUsage, own_start_ticks};

/// What this process uses, read at each scrape. A metric whose source cannot be read is left out of that scrape.
pub(super) struct OwnProcess {
    cpu: Counter,
    max_fds: IntGauge,
    open_fds: IntGauge,
    resident: IntGauge,
    started: Gauge,
    threads: IntGauge,
    size: IntGauge,
}

impl OwnProcess {
    pub(super) fn new() -> prometheus::Result<Self> {
        let started = Gauge::new(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        )?;
        started.set(start_time().unwrap_or(0.0));
        Ok(Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            max_fds: IntGauge::new("process_max_fds", "Maximum number of open file descriptors.")?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            started,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
            size: IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
        })
    }
}

impl Collector for OwnProcess {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.max_fds, &self.open_fds, &self.resident, &self.threads, &self.size];
        let mut all: Vec<_> = gauges.into_iter().flat_map(Collector::desc).collect();
        all.extend(self.cpu.desc());
        all.extend(self.started.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(7);
        // User and system time of all threads, see clock_getres(2).
        self.cpu.reset();
        self.cpu.inc_by(duration(clock_gettime(ClockId::ProcessCPUTime)).as_secs_f64());
        families.extend(self.cpu.collect());
        if self.started.get() > 0.0 {
            families.extend(self.started.collect());
        }
        let mut show = |gauge: &IntGauge, value: Option<u64>| {
            if let Some(value) = value {
                gauge.set(int(value));
                families.extend(gauge.collect());
            }
        };
        // A limit of `RLIM_INFINITY` is no number.
        show(&self.max_fds, Some(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)));
        show(&self.open_fds, open_descriptors());
        let usage = OwnUsage::read();
        show(&self.resident, usage.resident);
        show(&self.threads, usage.threads);
        show(&self.size, usage.size);
        families
    }
}

/// Descriptors of this process, without the one that reads them.
fn open_descriptors() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(int(entries.saturating_sub(1)).unsigned_abs())
}

/// Seconds after 1970, by the wall clock of now.
fn start_time() -> Option<f64> {
    let started = Duration::from_nanos(own_start_ticks()?.saturating_mul(NS_PER_TICK));
    let boot =
        duration(clock_gettime(ClockId::Realtime)).checked_sub(duration(clock_gettime(ClockId::Boottime)))?;
    Some((boot + started).as_secs_f64())
}

fn duration(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_value() {
        let families = OwnProcess::new().unwrap().collect();
        assert_eq!(families.len(), 7);
        for family in &families {
            let metric = family.get_metric().first().unwrap();
            let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
            assert!(value > 0.0, "{}: {value}", family.name());
        }
    }

    #[test]
    fn the_start_is_before_now_and_after_the_boot() {
        let now = duration(clock_gettime(ClockId::Realtime)).as_secs_f64();
        let up = duration(clock_gettime(ClockId::Boottime)).as_secs_f64();
        let started = start_time().unwrap();
        assert!(started <= now && started >= now - up - 0.02, "{started}, now {now}, up {up}");
    }
}
