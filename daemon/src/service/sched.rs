//! Time spent waiting for a CPU: sums the histograms of cgroups into histograms of a bounded number of units and containers.
//!
//! Counters may only grow, so a unit keeps its series while one of its cgroups exists, unless `top` is lowered. The units
//! that waited longest get the free series, all others are summed as `other`. A unit that gets its series later begins at
//! zero: what it had counted before stays in `other`.

use std::collections::{BTreeMap, HashMap};

use probe_common::SchedHistograms;

use super::labels::{series_limiter::SeriesLimiter, unit_labels::UnitLabels};
use crate::kernel::sched::{SchedReading, Sum as _};

/// A unit that has a series of its own.
#[derive(Default)]
struct Named {
    /// The part that was counted in `other` before it had its own series.
    before: SchedHistograms,
    /// The counts of its removed cgroups.
    gone: SchedHistograms,
}

/// Histograms by unit since the daemon's start.
#[derive(Default)]
pub(super) struct SchedSums {
    limiter: SeriesLimiter<UnitLabels>,
    named: BTreeMap<UnitLabels, Named>,
    /// What stays in `other`: counts of removed cgroups, and of units that got a series later.
    kept: SchedHistograms,
    /// The unit of each living cgroup as it was first found.
    units: HashMap<u64, UnitLabels>,
    /// The last reported counts of each unit without a series, which are part of `other`.
    unnamed: HashMap<UnitLabels, SchedHistograms>,
    /// The last reported counts of each cgroup whose unit is not known yet, which are part of `other`.
    unresolved: HashMap<u64, SchedHistograms>,
}

/// What is shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) named: Vec<(UnitLabels, SchedHistograms)>,
    pub(super) other: SchedHistograms,
}

impl SchedSums {
    /// Takes what the kernel has counted so far. `find` returns the unit of a cgroup; while that is `None`, it is called again at
    /// each reading.
    pub(super) fn take(
        &mut self,
        reading: &SchedReading,
        top: usize,
        mut find: impl FnMut(u64) -> Option<UnitLabels>,
    ) -> Shown {
        let mut other = reading.other;
        let mut alive: HashMap<UnitLabels, SchedHistograms> = HashMap::new();
        for (id, histograms) in &reading.cgroups {
            if let Some(labels) = self.labels(*id, &mut find) {
                alive.entry(labels).or_default().add(histograms);
            } else {
                other.add(histograms);
                self.unresolved.insert(*id, *histograms);
            }
        }
        self.choose_named(&alive, top);
        other.add(&self.kept);
        self.unnamed.clear();
        for (labels, histograms) in &alive {
            if !self.named.contains_key(labels) {
                other.add(histograms);
                self.unnamed.insert(labels.clone(), *histograms);
            }
        }
        let named = self.named.iter().map(|(labels, named)| {
            let mut sum = named.gone;
            if let Some(histograms) = alive.get(labels) {
                sum.add(histograms);
            }
            sum.subtract(&named.before);
            (labels.clone(), sum)
        });
        Shown { named: named.collect(), other }
    }

    /// Returns the labels of a cgroup's unit. What was counted for the cgroup before its unit was found stays in `other`.
    fn labels(&mut self, id: u64, find: impl FnOnce(u64) -> Option<UnitLabels>) -> Option<UnitLabels> {
        if let Some(labels) = self.units.get(&id) {
            return Some(labels.clone());
        }
        let labels = find(id)?;
        self.units.insert(id, labels.clone());
        if let Some(before) = self.unresolved.remove(&id) {
            match self.named.get_mut(&labels) {
                Some(named) => {
                    named.before.add(&before);
                    self.kept.add(&before);
                }
                None => self.unnamed.entry(labels.clone()).or_default().add(&before),
            }
        }
        Some(labels)
    }

    fn choose_named(&mut self, alive: &HashMap<UnitLabels, SchedHistograms>, top: usize) {
        let weights = alive.iter().map(|(labels, sums)| (labels.clone(), sums.run_queue.sum_ns));
        let change = self.limiter.choose(top, weights, |_, _| false);
        for labels in &change.ended {
            self.named.remove(labels);
        }
        for labels in change.begun {
            let before = self.unnamed.remove(&labels).unwrap_or_default();
            self.kept.add(&before);
            self.named.insert(labels, Named { before, ..Named::default() });
        }
    }

    /// Removes a cgroup, with its last counts.
    pub(super) fn end(&mut self, id: u64, last: &SchedHistograms) {
        self.unresolved.remove(&id);
        let labels = self.units.remove(&id);
        match labels.as_ref().and_then(|labels| self.named.get_mut(labels)) {
            Some(named) => named.gone.add(last),
            None => self.kept.add(last),
        }
        if let Some(shown) = labels.and_then(|labels| self.unnamed.get_mut(&labels)) {
            shown.subtract(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: &str) -> UnitLabels {
        UnitLabels { unit: unit.into(), ..UnitLabels::default() }
    }

    fn waited(ns: u64) -> SchedHistograms {
        let mut histograms = SchedHistograms::default();
        histograms.run_queue.sum_ns = ns;
        histograms
    }

    /// Returns the names and sums of a reading. Cgroup 1 belongs to unit `1`, and so on; cgroup 9 belongs to no unit.
    fn shown(sums: &mut SchedSums, top: usize, cgroups: &[(u64, u64)]) -> (Vec<(String, u64)>, u64) {
        let found: Vec<_> = cgroups.iter().map(|(id, _)| *id).filter(|id| *id != 9).collect();
        shown_where_found(sums, top, cgroups, &found)
    }

    /// Does what [`shown`] does, but finds the units of these cgroups only.
    fn shown_where_found(
        sums: &mut SchedSums,
        top: usize,
        cgroups: &[(u64, u64)],
        found: &[u64],
    ) -> (Vec<(String, u64)>, u64) {
        let cgroups = cgroups.iter().map(|(id, ns)| (*id, waited(*ns))).collect();
        let reading = SchedReading { cgroups, ..SchedReading::default() };
        let shown =
            sums.take(&reading, top, |id| found.contains(&id).then(|| labels(&(id % 10).to_string())));
        let named = shown.named.into_iter().map(|(labels, sums)| (labels.unit, sums.run_queue.sum_ns));
        (named.collect(), shown.other.run_queue.sum_ns)
    }

    fn names(named: &[(&str, u64)]) -> Vec<(String, u64)> {
        named.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect()
    }

    #[test]
    fn the_units_that_waited_longest_get_series_and_keep_them() {
        let mut sums = SchedSums::default();
        assert_eq!(shown(&mut sums, 1, &[(1, 5), (2, 7), (9, 1)]), (names(&[("2", 7)]), 6));
        assert_eq!(shown(&mut sums, 1, &[(1, 50), (2, 7), (9, 1)]), (names(&[("2", 7)]), 51));
    }

    #[test]
    fn cgroups_of_one_unit_are_one_and_outlive_a_restart() {
        let mut sums = SchedSums::default();
        assert_eq!(shown(&mut sums, 3, &[(1, 5), (11, 7)]), (names(&[("1", 12)]), 0));
        sums.end(1, &waited(6));
        assert_eq!(shown(&mut sums, 3, &[(11, 7), (21, 1)]), (names(&[("1", 14)]), 0));
    }

    #[test]
    fn nothing_shown_ever_shrinks_while_its_name_lasts() {
        let mut sums = SchedSums::default();
        assert_eq!(shown(&mut sums, 1, &[(1, 50), (2, 7)]), (names(&[("1", 50)]), 7));
        // 1 ends: 2 gets its series and begins at zero, because what it had counted stays in `other`.
        sums.end(1, &waited(60));
        assert_eq!(shown(&mut sums, 1, &[(2, 9)]), (names(&[("2", 2)]), 7));
        assert_eq!(shown(&mut sums, 1, &[(2, 10)]), (names(&[("2", 3)]), 7));
        sums.end(2, &waited(11));
        assert_eq!(shown(&mut sums, 1, &[]), (names(&[("2", 4)]), 7));
    }

    #[test]
    fn what_ended_without_a_name_stays_with_the_others() {
        let mut sums = SchedSums::default();
        assert_eq!(shown(&mut sums, 1, &[(1, 50), (2, 7), (12, 3)]), (names(&[("1", 50)]), 10));
        sums.end(2, &waited(8));
        assert_eq!(shown(&mut sums, 1, &[(1, 50), (12, 3)]), (names(&[("1", 50)]), 11));
        sums.end(1, &waited(50));
        assert_eq!(shown(&mut sums, 1, &[(12, 5)]), (names(&[("2", 2)]), 11));
    }

    #[test]
    fn one_that_is_found_later_is_named_later_and_counted_once() {
        let mut sums = SchedSums::default();
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 5)], &[]), (names(&[]), 5));
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 7)], &[]), (names(&[]), 7));
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 9)], &[1]), (names(&[("1", 2)]), 7));
        // A second cgroup of a unit that has a series already.
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 9), (11, 4)], &[]), (names(&[("1", 2)]), 11));
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 9), (11, 5)], &[11]), (names(&[("1", 3)]), 11));
        sums.end(11, &waited(6));
        assert_eq!(shown_where_found(&mut sums, 2, &[(1, 10)], &[]), (names(&[("1", 5)]), 11));
    }

    #[test]
    fn one_that_is_found_later_and_gets_no_name_stays_with_the_others() {
        let mut sums = SchedSums::default();
        assert_eq!(shown_where_found(&mut sums, 1, &[(1, 50), (2, 5)], &[1]), (names(&[("1", 50)]), 5));
        assert_eq!(shown_where_found(&mut sums, 1, &[(1, 50), (2, 6)], &[2]), (names(&[("1", 50)]), 6));
        sums.end(1, &waited(50));
        assert_eq!(shown_where_found(&mut sums, 1, &[(2, 9)], &[]), (names(&[("2", 3)]), 6));
        // The cgroup was removed before its unit was found.
        assert_eq!(shown_where_found(&mut sums, 1, &[(2, 9), (3, 1)], &[]), (names(&[("2", 3)]), 7));
        sums.end(3, &waited(2));
        assert_eq!(shown_where_found(&mut sums, 1, &[(2, 9)], &[]), (names(&[("2", 3)]), 8));
    }
}
