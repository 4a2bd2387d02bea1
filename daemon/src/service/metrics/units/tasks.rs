//! Processes created, execs, exits, and the present tasks, by their unit.

use std::collections::HashMap;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{
    super::{
        families::{Families, int},
        unit_labels::{UNIT_LABELS, UnitLabels},
    },
    events_by_cgroup::{TaskEvents, UNIT_REASONS},
    ranking::Ranking,
};
use crate::{
    cgroup::Cgroups,
    lineage::{CgroupCounts, Lineage, id::Ktime},
};

/// The units, their counters and their gauges. A unit has either all of these series or none.
pub(in crate::service::metrics) struct UnitTasks {
    created: IntCounterVec,
    execs: IntCounterVec,
    exits: IntCounterVec,
    processes: IntGaugeVec,
    threads: IntGaugeVec,
    zombies: IntGaugeVec,
    ranking: Ranking,
}

impl UnitTasks {
    pub(in crate::service::metrics) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let [unit, container, runtime, pod] = UNIT_LABELS;
        let tasks = Self {
            created: of.counters(
                "taskscope_unit_processes_created_total",
                "Processes that copy_process() created, by the systemd unit, container and pod that they were created in. The units with the most live threads and recent events have series, the sum of the others is unit=\"other\".",
                &UNIT_LABELS,
            )?,
            execs: of.counters(
                "taskscope_unit_execs_total",
                "Successful calls of execve(2), by the systemd unit, container and pod of the process.",
                &UNIT_LABELS,
            )?,
            exits: of.counters(
                "taskscope_unit_exits_total",
                "Processes that ended, by their systemd unit, container and pod, and by reason: exit code 0, another code, a signal, a signal with a core dump, the out-of-memory killer. A process ends with its last thread.",
                &[unit, container, runtime, pod, "reason"],
            )?,
            processes: of.int_gauges(
                "taskscope_unit_live_processes",
                "Processes now that have a live thread, by their systemd unit, container and pod: as in cgroup.procs, without zombies.",
                &UNIT_LABELS,
            )?,
            threads: of.int_gauges(
                "taskscope_unit_live_threads",
                "Live threads now, including main threads, by the systemd unit, container and pod of their process.",
                &UNIT_LABELS,
            )?,
            zombies: of.int_gauges(
                "taskscope_unit_zombies",
                "Zombies now, by the systemd unit, container and pod that they ran in; taskscope_parent_zombies has them by the parent that does not wait.",
                &UNIT_LABELS,
            )?,
            ranking: Ranking::default(),
        };
        tasks.count(&UnitLabels::other(), &TaskEvents::default());
        Ok(tasks)
    }

    /// Counts what processes of a unit did; `top` units have series.
    pub(in crate::service::metrics) fn add(&mut self, unit: UnitLabels, events: &TaskEvents, top: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a weight need not be exact")]
        let weight = events.total() as f64;
        let counted = self.ranking.count(unit, weight, top);
        self.count(&counted, events);
    }

    /// Reads the present tasks and chooses again which units have series.
    pub(in crate::service::metrics) fn read(
        &mut self,
        lineage: &Lineage,
        cgroups: &mut Cgroups,
        now: Ktime,
        top: usize,
    ) {
        let mut by_cgroup: HashMap<Option<u64>, CgroupCounts> = HashMap::new();
        for (cgroup, counts) in lineage.cgroup_counts() {
            by_cgroup.entry(cgroup).or_default().add(&counts);
        }
        let mut by_unit: HashMap<UnitLabels, CgroupCounts> = HashMap::new();
        for (cgroup, counts) in by_cgroup {
            by_unit.entry(UnitLabels::of(cgroup, cgroups, now)).or_default().add(&counts);
        }
        self.show(&by_unit, now, top);
    }

    fn show(&mut self, by_unit: &HashMap<UnitLabels, CgroupCounts>, now: Ktime, top: usize) {
        let weight = |counts: &CgroupCounts| f64::from(counts.threads) + f64::from(counts.zombies);
        let change = self.ranking.choose_among(by_unit, weight, now, top);
        for unit in &change.ended {
            self.end(unit);
        }
        for unit in &change.begun {
            self.count(unit, &TaskEvents::default());
        }
        for gauge in [&self.processes, &self.threads, &self.zombies] {
            gauge.reset();
        }
        for unit in self.ranking.named() {
            self.set(unit, &by_unit.get(unit).copied().unwrap_or_default());
        }
        let mut rest = CgroupCounts::default();
        by_unit
            .iter()
            .filter(|(unit, _)| !self.ranking.is_named(unit))
            .for_each(|(_, counts)| rest.add(counts));
        self.set(&UnitLabels::other(), &rest);
    }

    fn set(&self, unit: &UnitLabels, counts: &CgroupCounts) {
        let labels = unit.labels();
        self.processes.with_label_values(&labels).set(int(counts.processes));
        self.threads.with_label_values(&labels).set(int(counts.threads));
        self.zombies.with_label_values(&labels).set(int(counts.zombies));
    }

    /// Adds events to the counters of a unit, which begin at zero.
    fn count(&self, unit: &UnitLabels, events: &TaskEvents) {
        let labels = unit.labels();
        self.created.with_label_values(&labels).inc_by(events.created.into());
        self.execs.with_label_values(&labels).inc_by(events.execs.into());
        let [unit, container, runtime, pod] = labels;
        for (reason, exits) in UNIT_REASONS.into_iter().zip(events.exits) {
            self.exits.with_label_values(&[unit, container, runtime, pod, reason]).inc_by(exits.into());
        }
    }

    /// Ends the counters of a unit.
    fn end(&self, unit: &UnitLabels) {
        let labels = unit.labels();
        // The unit has these series since it was named.
        let _ = self.created.remove_label_values(&labels);
        let _ = self.execs.remove_label_values(&labels);
        let [unit, container, runtime, pod] = labels;
        for reason in UNIT_REASONS {
            let _ = self.exits.remove_label_values(&[unit, container, runtime, pod, reason]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prometheus::Registry;

    use super::*;
    use crate::service::metrics::units::ranking::tests::unit;

    /// Returns the samples by metric and unit; the exits of all reasons are one.
    fn shown(registry: &Registry) -> BTreeMap<(String, String), u64> {
        let mut shown = BTreeMap::new();
        for family in registry.gather() {
            for metric in family.get_metric() {
                let unit = metric.get_label().iter().find(|label| label.name() == "unit").unwrap();
                let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
                let value = value.round() as u64;
                *shown.entry((family.name().to_owned(), unit.value().to_owned())).or_default() += value;
            }
        }
        shown
    }

    fn of(registry: &Registry, metric: &str) -> Vec<(String, u64)> {
        let name = format!("taskscope_unit_{metric}");
        shown(registry)
            .into_iter()
            .filter(|((of, _), _)| *of == name)
            .map(|((_, unit), n)| (unit, n))
            .collect()
    }

    fn created(count: u32) -> TaskEvents {
        TaskEvents { created: count, ..TaskEvents::default() }
    }

    fn present(units: &[(&str, u32)]) -> HashMap<UnitLabels, CgroupCounts> {
        let counts = |threads| CgroupCounts { processes: 1, threads, zombies: 1 };
        units.iter().map(|&(name, threads)| (unit(name), counts(threads))).collect()
    }

    fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected.iter().map(|&(unit, count)| (unit.to_owned(), count)).collect()
    }

    #[test]
    fn a_unit_without_series_is_part_of_other_and_one_that_gets_them_begins_at_zero() {
        let registry = Registry::new();
        let mut tasks = UnitTasks::register(&Families(&registry)).unwrap();
        tasks.add(unit("a"), &created(3), 1);
        tasks.add(unit("b"), &created(2), 1);
        tasks.show(&present(&[("a", 1), ("b", 4)]), Ktime(1), 1);
        assert_eq!(of(&registry, "processes_created_total"), pairs(&[("a", 3), ("other", 2)]));
        assert_eq!(of(&registry, "live_threads"), pairs(&[("a", 1), ("other", 4)]));
        tasks.show(&present(&[("a", 1), ("b", 40)]), Ktime(2), 1);
        tasks.add(unit("a"), &created(1), 1);
        assert_eq!(of(&registry, "processes_created_total"), pairs(&[("b", 0), ("other", 3)]));
        assert_eq!(of(&registry, "exits_total"), pairs(&[("b", 0), ("other", 0)]));
        for gauge in ["live_processes", "zombies"] {
            assert_eq!(of(&registry, gauge), pairs(&[("b", 1), ("other", 1)]));
        }
    }

    #[test]
    fn a_unit_without_tasks_shows_none_while_it_has_series() {
        let registry = Registry::new();
        let mut tasks = UnitTasks::register(&Families(&registry)).unwrap();
        tasks.show(&present(&[("a", 1)]), Ktime(1), 1);
        tasks.show(&HashMap::new(), Ktime(2), 1);
        assert_eq!(of(&registry, "live_processes"), pairs(&[("a", 0), ("other", 0)]));
        tasks.show(&present(&[("a", 7)]), Ktime(3), 0);
        assert_eq!(of(&registry, "live_threads"), pairs(&[("other", 7)]));
    }

    #[test]
    fn however_many_units_come_and_go_series_are_bounded_and_no_counter_decreases() {
        let registry = Registry::new();
        let mut tasks = UnitTasks::register(&Families(&registry)).unwrap();
        let mut before = shown(&registry);
        let mut named = BTreeSet::new();
        for round in 0..300_u64 {
            // Each round has ten new units, which last for that round of one second.
            let jobs: Vec<_> = (0..10).map(|n| format!("job-{round}-{n}")).collect();
            let present: Vec<_> = jobs.iter().map(|name| (&**name, 1 + (round % 7) as u32)).collect();
            for name in &jobs {
                tasks.add(unit(name), &created(1 + (round % 5) as u32), 4);
            }
            tasks.show(&self::present(&present), Ktime(round * 1_000_000_000), 4);
            let now = shown(&registry);
            let units: BTreeSet<_> = now.keys().map(|(_, unit)| unit.clone()).collect();
            assert!(units.len() <= 5 && units.contains("other"), "{units:?}");
            assert_eq!(now.len(), 6 * units.len(), "each has all metrics");
            for (key, value) in before.iter().filter(|((name, _), _)| name.ends_with("_total")) {
                assert!(now.get(key).is_none_or(|now| now >= value), "{key:?} was {value}");
            }
            named.extend(units);
            before = now;
        }
        // Four places, and a unit that has ended keeps its place for a minute unless another one has twice its weight.
        assert!(named.len() < 60, "{} units had series", named.len());
    }
}
