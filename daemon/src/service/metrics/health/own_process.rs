//! The `process_*` metrics that every client library of Prometheus exports. The collector of the `prometheus` crate brings two more
//! crates and a second version of `rustix`, which take a sixth of the time of a first build.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Counter, Gauge, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::process::{Resource, getrlimit};

use crate::service::metrics::families::{int, seconds};
use crate::{
    kernel::clock,
    procfs::{NS_PER_TICK, OwnUsage, own_descriptors, own_start_ticks},
    timens::shown_boottime_ns,
};

/// What this process uses, read at each scrape. A metric whose source cannot be read is left out of that scrape.
pub(in crate::service) struct OwnProcess {
    cpu: Counter,
    max_fds: IntGauge,
    open_fds: IntGauge,
    resident: IntGauge,
    started: Gauge,
    threads: IntGauge,
    size: IntGauge,
}

impl OwnProcess {
    pub(in crate::service) fn new() -> prometheus::Result<Self> {
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
        self.cpu.reset();
        self.cpu.inc_by(seconds(clock::process_cpu_ns()));
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
        // `RLIM_INFINITY` is not a number of descriptors.
        show(&self.max_fds, Some(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)));
        show(&self.open_fds, own_descriptors().ok());
        let usage = OwnUsage::read();
        show(&self.resident, usage.resident);
        show(&self.threads, usage.threads);
        show(&self.size, usage.size);
        families
    }
}

/// Returns when this process started, in seconds since 1970 by the present wall clock. In a time namespace, /proc and
/// `shown_boottime_ns` are shifted by the same offset.
fn start_time() -> Option<f64> {
    let started_ns = own_start_ticks()?.saturating_mul(NS_PER_TICK);
    let age = Duration::from_nanos(shown_boottime_ns().saturating_sub(started_ns));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.checked_sub(age)?.as_secs_f64())
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let up = seconds(shown_boottime_ns());
        let started = start_time().unwrap();
        assert!(started <= now && started >= now - up - 0.02, "{started}, now {now}, up {up}");
    }
}
