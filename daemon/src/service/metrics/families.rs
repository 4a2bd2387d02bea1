//! Creates and registers metrics, and sets counters whose value is kept elsewhere.

use std::time::Duration;

use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

/// Registers metrics.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> prometheus::Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::new(name, help))
    }

    pub(super) fn int_gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), by))
    }

    pub(super) fn int_gauges(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), by))
    }

    pub(super) fn counters(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), by))
    }

    pub(super) fn histograms(&self, opts: HistogramOpts, by: &[&str]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(opts, by))
    }

    /// Registers counters of seconds.
    pub(super) fn seconds(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<CounterVec> {
        self.add(CounterVec::new(Opts::new(name, help), by))
    }
}

/// Sets a counter to a value that is counted elsewhere.
pub(super) fn set(counter: &IntCounter, value: u64) {
    counter.reset();
    counter.inc_by(value);
}

/// Converts a number for a gauge.
pub(super) fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// Converts nanoseconds to seconds, the base unit.
pub(super) fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
