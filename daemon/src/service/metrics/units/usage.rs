//! What ended tasks used, by their unit. The weight of a unit is the CPU time that its tasks used.

use prometheus::CounterVec;

use super::{
    super::{
        families::{Families, seconds},
        unit_labels::{UNIT_LABELS, UnitLabels},
    },
    ranking::Ranking,
};
use crate::lineage::{Share, id::Ktime};

/// The units, and their counters.
pub(in crate::service::metrics) struct UnitUsage {
    cpu: CounterVec,
    delay: CounterVec,
    ranking: Ranking,
}

impl UnitUsage {
    pub(in crate::service::metrics) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let units = Self {
            cpu: of.seconds(
                "taskscope_unit_ended_cpu_seconds_total",
                "CPU time that ended tasks had used, by the systemd unit, container and pod they ran in: including processes too short-lived for a poller to see. The units that recently used the most have series, the sum of the others is unit=\"other\".",
                &UNIT_LABELS,
            )?,
            delay: of.seconds(
                "taskscope_unit_ended_run_delay_seconds_total",
                "Time that ended tasks had waited for a CPU while ready to run, by the systemd unit, container and pod they ran in.",
                &UNIT_LABELS,
            )?,
            ranking: Ranking::default(),
        };
        units.count(&UnitLabels::other(), &Share::default());
        Ok(units)
    }

    /// Counts what tasks of a unit used; `top` units have a series.
    pub(in crate::service::metrics) fn add(&mut self, unit: UnitLabels, share: &Share, top: usize) {
        let counted = self.ranking.count(unit, seconds(share.exec_runtime_ns), top);
        self.count(&counted, share);
    }

    /// Lowers the weight of past usage, and chooses again which units have a series.
    pub(in crate::service::metrics) fn age(&mut self, now: Ktime, top: usize) {
        let change = self.ranking.choose(now, top);
        for unit in &change.ended {
            for counter in [&self.cpu, &self.delay] {
                // The unit has a series if anything was ever counted for it.
                let _ = counter.remove_label_values(&unit.labels());
            }
        }
        for unit in &change.begun {
            self.count(unit, &Share::default());
        }
    }

    fn count(&self, unit: &UnitLabels, share: &Share) {
        let labels = unit.labels();
        self.cpu.with_label_values(&labels).inc_by(seconds(share.exec_runtime_ns));
        self.delay.with_label_values(&labels).inc_by(seconds(share.run_delay_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::metrics::units::ranking::{MOST_UNNAMED, tests::unit};
    use prometheus::Registry;

    fn share(s: u64) -> Share {
        Share { exec_runtime_ns: s * 1_000_000_000, run_delay_ns: 0 }
    }

    /// Returns what is exported, by unit.
    fn shown(units: &UnitUsage) -> Vec<(String, u64)> {
        use prometheus::core::Collector as _;
        let mut shown: Vec<_> = units.cpu.collect()[0]
            .get_metric()
            .iter()
            .map(|metric| {
                let unit = metric.get_label().iter().find(|label| label.name() == "unit").unwrap();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
                (unit.value().to_owned(), metric.get_counter().get_value().round() as u64)
            })
            .collect();
        shown.sort();
        shown
    }

    fn is(units: &UnitUsage, expected: &[(&str, u64)]) {
        let expected: Vec<_> = expected.iter().map(|&(unit, s)| (unit.to_owned(), s)).collect();
        assert_eq!(shown(units), expected);
    }

    #[test]
    fn who_uses_most_gets_a_name_and_no_counter_goes_back() {
        let registry = Registry::new();
        let mut units = UnitUsage::register(&Families(&registry)).unwrap();
        units.add(unit("a"), &share(10), 2);
        units.add(unit("b"), &share(1), 2);
        units.add(unit("c"), &share(1), 2);
        is(&units, &[("a", 10), ("b", 1), ("other", 1)]);
        // `c` has less than twice as much as `b`, the lightest unit, so nothing changes.
        units.age(Ktime(1), 2);
        is(&units, &[("a", 10), ("b", 1), ("other", 1)]);
        units.add(unit("c"), &share(4), 2);
        units.age(Ktime(2), 2);
        is(&units, &[("a", 10), ("c", 0), ("other", 5)]);
        units.add(unit("b"), &share(1), 2);
        units.add(unit("c"), &share(3), 2);
        is(&units, &[("a", 10), ("c", 3), ("other", 6)]);
    }

    #[test]
    fn who_stops_loses_its_name_with_time() {
        let registry = Registry::new();
        let mut units = UnitUsage::register(&Families(&registry)).unwrap();
        units.age(Ktime(0), 1);
        units.add(unit("a"), &share(1000), 1);
        units.add(unit("b"), &share(1), 1);
        units.age(Ktime(300_000_000_000), 1);
        is(&units, &[("a", 1000), ("other", 1)]);
        units.age(Ktime(7_200_000_000_000), 1);
        units.add(unit("b"), &share(1), 1);
        units.age(Ktime(7_200_000_000_001), 1);
        is(&units, &[("b", 0), ("other", 2)]);
    }

    #[test]
    fn fewer_names_end_the_least_series_and_memory_has_a_bound() {
        let registry = Registry::new();
        let mut units = UnitUsage::register(&Families(&registry)).unwrap();
        units.add(unit("a"), &share(2), 2);
        units.add(unit("b"), &share(1), 2);
        units.age(Ktime(1), 1);
        is(&units, &[("a", 2), ("other", 0)]);
        for n in 0..3 * MOST_UNNAMED {
            units.add(unit(&format!("u{n}")), &share(0), 1);
        }
        units.age(Ktime(2), 1);
        assert_eq!(units.ranking.kept(), MOST_UNNAMED + 1);
        is(&units, &[("a", 2), ("other", 0)]);
    }
}
