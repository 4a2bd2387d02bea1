//! How units and containers stopped: how many by themselves and how many by SIGKILL, and how long it took.
//!
//! A unit keeps its series until `top` other units have stopped since. Otherwise a container, which stops once, would hold its
//! series permanently.

use std::collections::VecDeque;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec};

use crate::lineage::death::{Stop, StopOutcome};
use crate::service::metrics::{
    families::{Families, seconds},
    unit_labels::{UNIT_LABELS, UnitLabels},
};

/// Supervisors wait 10 s (Docker), 30 s (Kubernetes) or 90 s (systemd) before SIGKILL.
const BUCKETS: [f64; 11] = [0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 15.0, 30.0, 60.0, 90.0, 120.0];

/// The metrics, and the units that have series; the unit that stopped last is at the end.
pub(in crate::service::metrics) struct StopMetrics {
    stops: IntCounterVec,
    duration: HistogramVec,
    named: VecDeque<UnitLabels>,
}

impl StopMetrics {
    pub(in crate::service::metrics) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let stops = of.counters(
            "taskscope_stops_total",
            "Units and containers that stopped after a stop signal, by outcome: `killed` if SIGKILL was sent to one of their processes.",
            &["outcome"],
        )?;
        for outcome in [StopOutcome::ByItself, StopOutcome::Killed] {
            stops.with_label_values(&[outcome.code()]).inc_by(0);
        }
        let duration = of.histograms(
            HistogramOpts::new(
                "taskscope_stop_duration_seconds",
                "Time from the first stop signal to the last exit of a unit or container, by systemd unit, container and pod. The units that stopped last have series, the sum of the others is unit=\"other\".",
            )
            .buckets(BUCKETS.to_vec()),
            &UNIT_LABELS,
        )?;
        // A family without series is not shown.
        let _ = duration.with_label_values(&UnitLabels::other().labels());
        Ok(Self { stops, duration, named: VecDeque::new() })
    }

    /// Counts a stop that has ended; `top` units have series.
    pub(in crate::service::metrics) fn count(&mut self, stop: &Stop, labels_of_unit: UnitLabels, top: usize) {
        let Some(ns) = stop.duration_ns() else { return };
        self.stops.with_label_values(&[stop.outcome().code()]).inc();
        let labels_of_unit = self.named(labels_of_unit, top);
        self.duration.with_label_values(&labels_of_unit.labels()).observe(seconds(ns));
    }

    /// Returns the labels for a unit. A unit that loses its place ends its series, because a counter must not decrease.
    fn named(&mut self, labels_of_unit: UnitLabels, top: usize) -> UnitLabels {
        if labels_of_unit == UnitLabels::default() || top == 0 {
            return UnitLabels::other();
        }
        self.named.retain(|it| *it != labels_of_unit);
        self.named.push_back(labels_of_unit.clone());
        while self.named.len() > top {
            if let Some(oldest) = self.named.pop_front() {
                // The unit has a series if anything was counted for it.
                let _ = self.duration.remove_label_values(&oldest.labels());
            }
        }
        labels_of_unit
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, core::Collector as _};

    use super::*;

    #[test]
    fn units_that_stopped_last_have_a_name() {
        let mut metrics = StopMetrics::register(&Families(&Registry::new())).unwrap();
        for unit in ["a", "b", "a", "c"] {
            let labels_of_unit = UnitLabels { unit: unit.into(), ..UnitLabels::default() };
            let named = metrics.named(labels_of_unit.clone(), 2);
            assert_eq!(named, labels_of_unit);
            metrics.duration.with_label_values(&named.labels()).observe(1.0);
        }
        assert_eq!(metrics.named(UnitLabels::default(), 2), UnitLabels::other(), "a cgroup without a name");
        let collected = metrics.duration.collect();
        let mut units: Vec<_> = collected[0]
            .get_metric()
            .iter()
            .filter_map(|metric| metric.get_label().iter().find(|label| label.name() == "unit"))
            .map(|label| label.value().to_owned())
            .collect();
        units.sort();
        assert_eq!(units, ["a", "c", "other"]);
    }
}
