//! What ended tasks used, by their unit: counters for the units that used most lately, and one for all others.
//!
//! A counter must not decrease. So usage is counted once, for the unit or for `other`, and never moved: a unit that gets a series
//! begins at zero, the series of a unit that loses its place ends, and `other` only grows.

use std::{cmp::Ordering, collections::HashMap};

use prometheus::CounterVec;

use super::{
    families::{Families, seconds},
    series_limiter::SeriesLimiter,
    unit_labels::{UNIT_LABELS, UnitLabels},
};
use crate::lineage::{Share, id::Ktime};

/// The most units without a series whose usage is tracked, so that one of them can get a series.
const MOST_UNNAMED: usize = 1024;

/// The half-life of the weight of past usage, s.
const HALF_LIFE_S: f64 = 300.0;

/// How many times more than the least of the units with a series another unit must have used lately to take its place.
const LEAD: f64 = 2.0;

/// Recent CPU time, s.
#[derive(Clone, Copy, Debug, Default)]
struct Weight(f64);

impl Ord for Weight {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Weight {}

/// The units, and their counters.
pub(super) struct Units {
    cpu: CounterVec,
    delay: CounterVec,
    weights: HashMap<UnitLabels, Weight>,
    limiter: SeriesLimiter<UnitLabels>,
    /// When the weights were last lowered.
    aged: Option<Ktime>,
}

impl Units {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let units = Self {
            cpu: of.seconds(
                "taskscope_unit_ended_cpu_seconds_total",
                "CPU time that ended tasks had used, by the systemd unit, container and pod they ran in: including processes too short-lived for a poller to see. The units that used most of late are named, the rest is unit=\"other\".",
                &UNIT_LABELS,
            )?,
            delay: of.seconds(
                "taskscope_unit_ended_run_delay_seconds_total",
                "Time that ended tasks had been ready to run and waited for a CPU, by the systemd unit, container and pod they ran in.",
                &UNIT_LABELS,
            )?,
            weights: HashMap::new(),
            limiter: SeriesLimiter::default(),
            aged: None,
        };
        units.count(&UnitLabels::other(), &Share::default());
        Ok(units)
    }

    /// Counts what tasks of a unit used; `top` units have a series.
    pub(super) fn add(&mut self, unit: UnitLabels, share: &Share, top: usize) {
        let counted = if self.limiter.admit(&unit, top) { &unit } else { &UnitLabels::other() };
        self.count(counted, share);
        self.weights.entry(unit).or_default().0 += seconds(share.exec_runtime_ns);
    }

    /// Lowers the weight of past usage, and chooses again which units have a series.
    pub(super) fn age(&mut self, now: Ktime, top: usize) {
        let since = seconds(now.since(self.aged.unwrap_or(now)));
        self.aged = Some(now);
        let left = (-since / HALF_LIFE_S).exp2();
        for weight in self.weights.values_mut() {
            weight.0 *= left;
        }
        let weights = self.weights.iter().map(|(unit, weight)| (unit.clone(), *weight));
        let change = self.limiter.choose(top, weights, |one, other| one.0 > LEAD * other.0);
        for unit in &change.ended {
            for counter in [&self.cpu, &self.delay] {
                // The unit has a series if anything was ever counted for it.
                let _ = counter.remove_label_values(&unit.labels());
            }
        }
        for unit in &change.begun {
            self.count(unit, &Share::default());
        }
        self.forget_lightest();
    }

    /// Removes units without a series, those with the least weight first, until [`MOST_UNNAMED`] are left.
    fn forget_lightest(&mut self) {
        let unnamed = self.weights.iter().filter(|(unit, _)| !self.limiter.is_named(unit));
        let mut unnamed: Vec<(Weight, UnitLabels)> =
            unnamed.map(|(unit, weight)| (*weight, unit.clone())).collect();
        unnamed.sort_unstable();
        for (_, unit) in unnamed.iter().take(unnamed.len().saturating_sub(MOST_UNNAMED)) {
            self.weights.remove(unit);
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
    use prometheus::Registry;

    fn unit(name: &str) -> UnitLabels {
        UnitLabels { unit: name.into(), ..UnitLabels::default() }
    }

    fn share(s: u64) -> Share {
        Share { exec_runtime_ns: s * 1_000_000_000, run_delay_ns: 0 }
    }

    /// Returns what is exported, by unit.
    fn shown(units: &Units) -> Vec<(String, u64)> {
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

    fn is(units: &Units, expected: &[(&str, u64)]) {
        let expected: Vec<_> = expected.iter().map(|&(unit, s)| (unit.to_owned(), s)).collect();
        assert_eq!(shown(units), expected);
    }

    #[test]
    fn who_uses_most_gets_a_name_and_no_counter_goes_back() {
        let registry = Registry::new();
        let mut units = Units::register(&Families(&registry)).unwrap();
        units.add(unit("a"), &share(10), 2);
        units.add(unit("b"), &share(1), 2);
        units.add(unit("c"), &share(1), 2);
        is(&units, &[("a", 10), ("b", 1), ("other", 1)]);
        // This is less than twice as much as the least, so nothing changes.
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
        let mut units = Units::register(&Families(&registry)).unwrap();
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
        let mut units = Units::register(&Families(&registry)).unwrap();
        units.add(unit("a"), &share(2), 2);
        units.add(unit("b"), &share(1), 2);
        units.age(Ktime(1), 1);
        is(&units, &[("a", 2), ("other", 0)]);
        for n in 0..3 * MOST_UNNAMED {
            units.add(unit(&format!("u{n}")), &share(0), 1);
        }
        units.age(Ktime(2), 1);
        assert_eq!(units.weights.len(), MOST_UNNAMED + 1);
        is(&units, &[("a", 2), ("other", 0)]);
    }
}
