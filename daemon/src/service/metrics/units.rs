//! What ended tasks used, by where they lived: counters for the homes that use most of late, and one for all others.
//!
//! A counter must not go back. So what a home used is counted once, where it is named or as `other` at that moment, and never moved
//! between them: a home that gets a name begins at zero, one that loses it ends its series, and `other` only grows.

use std::collections::HashMap;

use prometheus::CounterVec;

use super::{
    families::{Families, seconds},
    unit_labels::{UNIT_LABELS, UnitLabels},
};
use crate::lineage::{Share, id::Ktime};

/// Homes remembered besides those that have a name, so that one can win one.
const MOST_UNNAMED: usize = 1024;

/// After this long what a home used weighs half.
const HALF_LIFE_S: f64 = 300.0;

/// How much more than the least of the named ones another must have used of late to take its name: names should not come and go.
const LEAD: f64 = 2.0;

/// How much a home uses.
#[derive(Debug, Default)]
struct Use {
    /// CPU time of late, ns.
    weight: f64,
    is_named: bool,
}

/// The homes, and their counters.
pub(super) struct Units {
    cpu: CounterVec,
    delay: CounterVec,
    homes: HashMap<UnitLabels, Use>,
    named: usize,
    /// When weights were last halved in part.
    aged: Option<Ktime>,
}

impl Units {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let units = Self {
            cpu: of.seconds(
                "taskscope_unit_ended_cpu_seconds_total",
                "CPU time that ended tasks had used, by the systemd unit, container and pod they lived in: also of those too short for any poller. The units that use most of late are named, the rest is unit=\"other\".",
                &UNIT_LABELS,
            )?,
            delay: of.seconds(
                "taskscope_unit_ended_run_delay_seconds_total",
                "Time that ended tasks had been ready to run and waited for a CPU, by the systemd unit, container and pod they lived in.",
                &UNIT_LABELS,
            )?,
            homes: HashMap::new(),
            named: 0,
            aged: None,
        };
        units.count(&UnitLabels::other(), &Share::default());
        Ok(units)
    }

    /// Counts what tasks of a home used; `top` homes have a name.
    pub(super) fn add(&mut self, home: UnitLabels, share: &Share, top: usize) {
        let used = self.homes.entry(home.clone()).or_default();
        used.weight += seconds(share.exec_runtime_ns);
        if !used.is_named && self.named < top {
            used.is_named = true;
            self.named += 1;
        }
        let home = if used.is_named { home } else { UnitLabels::other() };
        self.count(&home, share);
    }

    /// Time goes on: old use weighs less, and who uses more of late gets the name of one that uses little.
    pub(super) fn age(&mut self, now: Ktime, top: usize) {
        let since = seconds(now.since(self.aged.unwrap_or(now)));
        self.aged = Some(now);
        let left = (-since / HALF_LIFE_S).exp2();
        for used in self.homes.values_mut() {
            used.weight *= left;
        }
        while self.named > top && self.unname_least() {}
        while self.named == top && self.is_outdone() && self.unname_least() {
            self.name_most();
        }
        while self.homes.len() - self.named > MOST_UNNAMED {
            let Some(least) = self.extreme(false, |one, other| one < other) else { break };
            self.homes.remove(&least);
        }
    }

    /// Whether some home without a name uses much more than one with a name.
    fn is_outdone(&self) -> bool {
        let weight = |home: &UnitLabels| self.homes.get(home).map_or(0.0, |used| used.weight);
        let least = self.extreme(true, |one, other| one < other);
        let most = self.extreme(false, |one, other| one > other);
        match (least, most) {
            (Some(least), Some(most)) => weight(&most) > LEAD * weight(&least),
            _ => false,
        }
    }

    fn unname_least(&mut self) -> bool {
        let Some(least) = self.extreme(true, |one, other| one < other) else { return false };
        if let Some(used) = self.homes.get_mut(&least) {
            used.is_named = false;
            self.named -= 1;
        }
        for counter in [&self.cpu, &self.delay] {
            // It has a series if anything was ever counted under its name.
            let _ = counter.remove_label_values(&least.labels());
        }
        true
    }

    fn name_most(&mut self) {
        let Some(most) = self.extreme(false, |one, other| one > other) else { return };
        if let Some(used) = self.homes.get_mut(&most) {
            used.is_named = true;
            self.named += 1;
        }
        self.count(&most, &Share::default());
    }

    /// The home with or without a name whose weight comes first; of equal ones always the same.
    fn extreme(&self, is_named: bool, is_before: impl Fn(f64, f64) -> bool) -> Option<UnitLabels> {
        let mut found: Option<(&UnitLabels, f64)> = None;
        for (home, used) in self.homes.iter().filter(|(_, used)| used.is_named == is_named) {
            let is_first = found.is_none_or(|(other, weight)| {
                is_before(used.weight, weight) || (!is_before(weight, used.weight) && home < other)
            });
            if is_first {
                found = Some((home, used.weight));
            }
        }
        found.map(|(home, _)| home.clone())
    }

    fn count(&self, home: &UnitLabels, share: &Share) {
        let labels = home.labels();
        self.cpu.with_label_values(&labels).inc_by(seconds(share.exec_runtime_ns));
        self.delay.with_label_values(&labels).inc_by(seconds(share.run_delay_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    fn home(unit: &str) -> UnitLabels {
        UnitLabels { unit: unit.into(), ..UnitLabels::default() }
    }

    fn share(s: u64) -> Share {
        Share { exec_runtime_ns: s * 1_000_000_000, run_delay_ns: 0 }
    }

    /// What is exported, by unit.
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
        units.add(home("a"), &share(10), 2);
        units.add(home("b"), &share(1), 2);
        units.add(home("c"), &share(1), 2);
        is(&units, &[("a", 10), ("b", 1), ("other", 1)]);
        // Not twice as much as the least: nothing changes.
        units.age(Ktime(1), 2);
        is(&units, &[("a", 10), ("b", 1), ("other", 1)]);
        units.add(home("c"), &share(4), 2);
        units.age(Ktime(2), 2);
        is(&units, &[("a", 10), ("c", 0), ("other", 5)]);
        units.add(home("b"), &share(1), 2);
        units.add(home("c"), &share(3), 2);
        is(&units, &[("a", 10), ("c", 3), ("other", 6)]);
    }

    #[test]
    fn who_stops_loses_its_name_with_time() {
        let registry = Registry::new();
        let mut units = Units::register(&Families(&registry)).unwrap();
        units.age(Ktime(0), 1);
        units.add(home("a"), &share(1000), 1);
        units.add(home("b"), &share(1), 1);
        units.age(Ktime(300_000_000_000), 1);
        is(&units, &[("a", 1000), ("other", 1)]);
        units.age(Ktime(7_200_000_000_000), 1);
        units.add(home("b"), &share(1), 1);
        units.age(Ktime(7_200_000_000_001), 1);
        is(&units, &[("b", 0), ("other", 2)]);
    }

    #[test]
    fn fewer_names_end_the_least_series_and_memory_has_a_bound() {
        let registry = Registry::new();
        let mut units = Units::register(&Families(&registry)).unwrap();
        units.add(home("a"), &share(2), 2);
        units.add(home("b"), &share(1), 2);
        units.age(Ktime(1), 1);
        is(&units, &[("a", 2), ("other", 0)]);
        for n in 0..3 * MOST_UNNAMED {
            units.add(home(&format!("u{n}")), &share(0), 1);
        }
        units.age(Ktime(2), 1);
        assert_eq!(units.homes.len(), MOST_UNNAMED + 1);
        is(&units, &[("a", 2), ("other", 0)]);
    }
}
