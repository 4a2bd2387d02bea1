//! Who waited for a CPU: the histograms of cgroups as those of units and containers, a bounded number of them.
//!
//! Counters may only grow, so a name once given is kept: the ones that waited longest get names while there is room, and all
//! else is `other`. Room comes free when all cgroups of a name are gone. One that is named later begins at zero then: what it
//! had counted before stays with the others.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use probe_common::SchedHistograms;

use super::metrics::label;
use crate::{
    cgroup::Place,
    kernel::sched::{Reading, Sum as _},
};

/// What a cgroup's histograms are shown as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Label {
    /// systemd unit, or the cgroup's path where it is in none.
    pub(super) unit: String,
    /// Short id of the container.
    pub(super) container: String,
    /// Uid of the Kubernetes pod.
    pub(super) pod: String,
}

impl Label {
    /// Of a place.
    pub(super) fn of(place: &Place) -> Self {
        Self {
            unit: label(place.unit.as_ref().unwrap_or(&place.path).as_bytes()),
            container: place.container.as_ref().map(|it| it.short_id().to_owned()).unwrap_or_default(),
            pod: place.pod_uid.clone().unwrap_or_default(),
        }
    }
}

/// A name in use.
#[derive(Default)]
struct Named {
    /// Counted under the name of the others, before it had its own.
    before: SchedHistograms,
    /// Of its cgroups that are gone.
    gone: SchedHistograms,
}

/// Histograms by name since the daemon's start.
#[derive(Default)]
pub(super) struct Ledger {
    named: BTreeMap<Label, Named>,
    /// What the others keep: of cgroups that are gone, and of some that got a name since.
    kept: SchedHistograms,
    /// The label of each living cgroup as it was first found; `None` where it was not.
    labels: HashMap<u64, Option<Label>>,
    /// What was shown last of those without a name, as part of the others.
    unnamed: HashMap<Label, SchedHistograms>,
}

/// What is shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) named: Vec<(Label, SchedHistograms)>,
    pub(super) other: SchedHistograms,
}

impl Ledger {
    /// Takes what the kernel has counted so far; `find` gives the label of a cgroup that is seen for the first time.
    pub(super) fn take(
        &mut self,
        reading: &Reading,
        top: usize,
        mut find: impl FnMut(u64) -> Option<Label>,
    ) -> Shown {
        let mut other = reading.other;
        let mut alive: HashMap<Label, SchedHistograms> = HashMap::new();
        for (id, histograms) in &reading.cgroups {
            match self.labels.entry(*id).or_insert_with(|| find(*id)) {
                Some(label) => alive.entry(label.clone()).or_default().add(histograms),
                None => other.add(histograms),
            }
        }
        self.give_names(&alive, top);
        other.add(&self.kept);
        self.unnamed.clear();
        for (label, histograms) in &alive {
            if !self.named.contains_key(label) {
                other.add(histograms);
                self.unnamed.insert(label.clone(), *histograms);
            }
        }
        let named = self.named.iter().map(|(label, named)| {
            let mut sum = named.gone;
            if let Some(histograms) = alive.get(label) {
                sum.add(histograms);
            }
            sum.subtract(&named.before);
            (label.clone(), sum)
        });
        Shown { named: named.collect(), other }
    }

    fn give_names(&mut self, alive: &HashMap<Label, SchedHistograms>, top: usize) {
        let mut nameless: Vec<_> =
            alive.iter().filter(|(label, _)| !self.named.contains_key(label)).collect();
        let wanted = (self.named.len() + nameless.len()).saturating_sub(top);
        let ended: BTreeSet<_> =
            self.named.keys().filter(|label| !alive.contains_key(label)).cloned().collect();
        for label in ended.iter().take(wanted) {
            self.named.remove(label);
        }
        let room = top.saturating_sub(self.named.len());
        nameless.sort_by_key(|(label, sums)| (Reverse(sums.run_queue.sum_ns), *label));
        for (label, _) in nameless.into_iter().take(room) {
            let before = self.unnamed.remove(label).unwrap_or_default();
            self.kept.add(&before);
            self.named.insert(label.clone(), Named { before, ..Named::default() });
        }
    }

    /// A cgroup is gone, and what it counted last is known.
    pub(super) fn end(&mut self, id: u64, last: &SchedHistograms) {
        let label = self.labels.remove(&id).flatten();
        match label.as_ref().and_then(|label| self.named.get_mut(label)) {
            Some(named) => named.gone.add(last),
            None => self.kept.add(last),
        }
        if let Some(shown) = label.and_then(|label| self.unnamed.get_mut(&label)) {
            shown.subtract(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(unit: &str) -> Label {
        Label { unit: unit.into(), ..Label::default() }
    }

    fn waited(ns: u64) -> SchedHistograms {
        let mut histograms = SchedHistograms::default();
        histograms.run_queue.sum_ns = ns;
        histograms
    }

    /// Names and sums of a reading in which cgroup 1 belongs to unit `1` and so on; 9 to none.
    fn shown(ledger: &mut Ledger, top: usize, cgroups: &[(u64, u64)]) -> (Vec<(String, u64)>, u64) {
        let cgroups = cgroups.iter().map(|(id, ns)| (*id, waited(*ns))).collect();
        let reading = Reading { cgroups, ..Reading::default() };
        let shown = ledger.take(&reading, top, |id| (id != 9).then(|| label(&(id % 10).to_string())));
        let named = shown.named.into_iter().map(|(label, sums)| (label.unit, sums.run_queue.sum_ns));
        (named.collect(), shown.other.run_queue.sum_ns)
    }

    fn names(named: &[(&str, u64)]) -> Vec<(String, u64)> {
        named.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect()
    }

    #[test]
    fn the_ones_that_waited_longest_get_names_and_keep_them() {
        let mut ledger = Ledger::default();
        assert_eq!(shown(&mut ledger, 1, &[(1, 5), (2, 7), (9, 1)]), (names(&[("2", 7)]), 6));
        assert_eq!(shown(&mut ledger, 1, &[(1, 50), (2, 7), (9, 1)]), (names(&[("2", 7)]), 51));
    }

    #[test]
    fn cgroups_of_one_unit_are_one_and_outlive_a_restart() {
        let mut ledger = Ledger::default();
        assert_eq!(shown(&mut ledger, 3, &[(1, 5), (11, 7)]), (names(&[("1", 12)]), 0));
        ledger.end(1, &waited(6));
        assert_eq!(shown(&mut ledger, 3, &[(11, 7), (21, 1)]), (names(&[("1", 14)]), 0));
    }

    #[test]
    fn nothing_shown_ever_shrinks_while_its_name_lasts() {
        let mut ledger = Ledger::default();
        assert_eq!(shown(&mut ledger, 1, &[(1, 50), (2, 7)]), (names(&[("1", 50)]), 7));
        // 1 ends: 2 gets its name and begins at zero, as what it had is told with the others.
        ledger.end(1, &waited(60));
        assert_eq!(shown(&mut ledger, 1, &[(2, 9)]), (names(&[("2", 2)]), 7));
        assert_eq!(shown(&mut ledger, 1, &[(2, 10)]), (names(&[("2", 3)]), 7));
        ledger.end(2, &waited(11));
        assert_eq!(shown(&mut ledger, 1, &[]), (names(&[("2", 4)]), 7));
    }

    #[test]
    fn what_ended_without_a_name_stays_with_the_others() {
        let mut ledger = Ledger::default();
        assert_eq!(shown(&mut ledger, 1, &[(1, 50), (2, 7), (12, 3)]), (names(&[("1", 50)]), 10));
        ledger.end(2, &waited(8));
        assert_eq!(shown(&mut ledger, 1, &[(1, 50), (12, 3)]), (names(&[("1", 50)]), 11));
        ledger.end(1, &waited(50));
        assert_eq!(shown(&mut ledger, 1, &[(12, 5)]), (names(&[("2", 2)]), 11));
    }
}
