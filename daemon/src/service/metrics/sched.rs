//! The histograms of `--sched`, which the eBPF programs keep, as Prometheus metrics.

use std::sync::{Arc, Mutex, PoisonError};

use probe_common::{SCHED_BUCKETS, SchedHistogram};
use prometheus::{
    IntCounterVec, IntGauge, Opts,
    core::{Collector, Desc},
    proto,
};

use super::{
    families::{Families, int, seconds, set},
    unit_labels::{UNIT_LABELS, UnitLabels},
};
use crate::{
    kernel::sched::{CGROUPS, SchedReading, by_state, losses},
    service::sched::Shown,
};

/// Metrics of scheduling.
pub(super) struct SchedMetrics {
    run_queue: Histograms,
    off_cpu: Histograms,
    lost: IntCounterVec,
    cgroups: IntGauge,
}

impl SchedMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let [unit, container, runtime, pod] = UNIT_LABELS;
        let run_queue = Histograms::new(
            "taskscope_sched_run_queue_latency_seconds",
            "How long tasks that could run waited for a CPU: from their wakeup or preemption until they ran. By systemd unit, container and pod: while series are free, the units that waited longest get one, and keep it while their cgroups exist; the sum of the others is unit=\"other\".",
            &UNIT_LABELS,
            |bucket| bucket <= 20,
        )?;
        let off_cpu = Histograms::new(
            "taskscope_sched_off_cpu_seconds",
            "How long tasks were off their CPU and could not run: from leaving it until they were woken, by the state that they slept in.",
            &[unit, container, runtime, pod, "state"],
            |bucket| (4..=28).contains(&bucket) && bucket.is_multiple_of(2),
        )?;
        of.0.register(Box::new(run_queue.clone()))?;
        of.0.register(Box::new(off_cpu.clone()))?;
        let metrics = Self {
            run_queue,
            off_cpu,
            lost: of.counters(
                "taskscope_sched_lost_total",
                "Waits that are missing or counted as other, by cause: more tasks than can be followed, more cgroups than have histograms (counted as other), wakeups and switches that were not seen.",
                &["cause"],
            )?,
            cgroups: of.int_gauge(
                "taskscope_sched_cgroups",
                "Cgroups that have histograms of their own now.",
            )?,
        };
        of.int_gauge("taskscope_sched_cgroups_max", "Cgroups that can have histograms of their own.")?
            .set(int(CGROUPS - 1));
        Ok(metrics)
    }

    pub(super) fn show(&self, reading: &SchedReading, shown: &Shown) {
        self.cgroups.set(int(reading.cgroups.len()));
        for (cause, count) in losses(reading) {
            set(&self.lost.with_label_values(&[cause]), count);
        }
        let other = UnitLabels::other();
        let rows = || shown.named.iter().map(|(labels, sums)| (labels, sums)).chain([(&other, &shown.other)]);
        let values_of = |labels: &UnitLabels| labels.labels().map(str::to_owned).to_vec();
        self.run_queue.set(rows().map(|(labels, sums)| (values_of(labels), sums.run_queue)).collect());
        let mut off_cpu = Vec::new();
        for (labels, sums) in rows() {
            for (state, histogram) in by_state(sums) {
                // Few tasks are ever stopped, so a unit has series only for states that were seen; `other` has all.
                if histogram.counts.iter().any(|count| *count > 0) || *labels == other {
                    let mut values = values_of(labels);
                    values.push(state.to_owned());
                    off_cpu.push((values, *histogram));
                }
            }
        }
        self.off_cpu.set(off_cpu);
    }
}

/// Values of the labels, and the histogram.
type Rows = Vec<(Vec<String>, SchedHistogram)>;

/// Histograms that the eBPF programs keep.
#[derive(Clone)]
struct Histograms {
    desc: Desc,
    /// Which of the programs' bucket limits are shown.
    has_limit: fn(usize) -> bool,
    rows: Arc<Mutex<Rows>>,
}

impl Histograms {
    fn new(name: &str, help: &str, by: &[&str], has_limit: fn(usize) -> bool) -> prometheus::Result<Self> {
        use prometheus::core::Describer as _;
        let desc = Opts::new(name, help).variable_labels(by.iter().map(|&label| label.to_owned()).collect());
        Ok(Self { desc: desc.describe()?, has_limit, rows: Arc::default() })
    }

    fn set(&self, rows: Rows) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = rows.iter().map(|(values, counted)| {
            let mut labels: Vec<_> =
                self.desc.variable_labels.iter().zip(values).map(|(name, value)| pair(name, value)).collect();
            labels.sort();
            let mut metric = proto::Metric::from_label(labels);
            metric.set_histogram(histogram(counted, self.has_limit));
            metric
        });
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

fn pair(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// Cumulative counts by the limits that are shown; the text encoder adds the bucket `+Inf`.
fn histogram(counted: &SchedHistogram, has_limit: fn(usize) -> bool) -> proto::Histogram {
    let mut so_far = 0;
    let mut buckets = Vec::new();
    for (bucket, count) in counted.counts.iter().enumerate() {
        so_far += count;
        if bucket < SCHED_BUCKETS - 1 && has_limit(bucket) {
            let mut shown = proto::Bucket::default();
            shown.set_cumulative_count(so_far);
            shown.set_upper_bound(seconds(1000 << bucket));
            buckets.push(shown);
        }
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_sample_count(so_far);
    histogram.set_sample_sum(seconds(counted.sum_ns));
    histogram.set_bucket(buckets);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_count_is_of_all() {
        let mut counted = SchedHistogram::default();
        (counted.counts[0], counted.counts[3], counted.counts[31], counted.sum_ns) = (1, 2, 4, 5_000_000_000);
        let histogram = histogram(&counted, |bucket| bucket >= 2);
        let buckets: Vec<_> =
            histogram.get_bucket().iter().map(|b| (b.upper_bound(), b.cumulative_count())).collect();
        assert_eq!(buckets[..3], [(4e-6, 1), (8e-6, 3), (16e-6, 3)]);
        assert_eq!(buckets.len(), 29);
        assert_eq!((histogram.get_sample_count(), histogram.get_sample_sum()), (7, 5.0));
    }
}
