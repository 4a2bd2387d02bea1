//! Which units have series: those with the largest weights. A unit's weight is the sum of the events that were counted for it and
//! of the tasks that it has. Past events and tasks that are gone lose half of their weight every five minutes; present tasks count
//! in full.
//!
//! A series that begins stays in the memory of a Prometheus server for hours. So a unit with series keeps them until another unit has
//! twice its weight, or, once it has ended, until another unit needs its place.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
};

use super::super::{
    families::seconds,
    series_limiter::{Change, SeriesLimiter},
    unit_labels::UnitLabels,
};
use crate::lineage::id::Ktime;

/// The most units without series whose weight is kept, so that one of them can get series.
pub(super) const MOST_UNNAMED: usize = 1024;

/// The half-life of the weight of past events and tasks, s.
const HALF_LIFE_S: f64 = 300.0;

/// A unit without series replaces the unit with the smallest weight among those with series once its own weight is more than this
/// many times as large.
const LEAD: f64 = 2.0;

/// A unit without tasks has ended if nothing was counted for it for this long, ns.
const ENDED_NS: u64 = 60_000_000_000;

/// A weight.
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

/// The weight of one unit.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    /// The weight of what was counted.
    counted: f64,
    /// Only for units with series: the weight of the tasks that the unit has now or had lately.
    had: f64,
    /// Whether something was counted since the last choice.
    is_new: bool,
    /// When it last had tasks, or something was counted.
    at: Ktime,
}

impl Recent {
    fn weight(&self) -> Weight {
        Weight(self.counted + self.had)
    }
}

/// The units, and which of them have series.
#[derive(Default)]
pub(super) struct Ranking {
    recent: HashMap<UnitLabels, Recent>,
    limiter: SeriesLimiter<UnitLabels>,
    /// When the weights were last lowered.
    aged: Option<Ktime>,
}

impl Ranking {
    /// Adds to the weight of a unit. Returns the labels under which the event is counted: those of the unit if it has series or
    /// gets them now, `other` if `top` other units have series already.
    pub(super) fn count(&mut self, unit: UnitLabels, weight: f64, top: usize) -> UnitLabels {
        let counted = if self.limiter.admit(&unit, top) { unit.clone() } else { UnitLabels::other() };
        let recent = self.recent.entry(unit).or_default();
        recent.counted += weight;
        recent.is_new = true;
        counted
    }

    /// Returns whether a unit has series.
    pub(super) fn is_named(&self, unit: &UnitLabels) -> bool {
        self.limiter.is_named(unit)
    }

    /// Returns the units with series.
    pub(super) fn named(&self) -> impl Iterator<Item = &UnitLabels> {
        self.limiter.named()
    }

    /// Chooses again which units have series, by the events that were counted.
    pub(super) fn choose(&mut self, now: Ktime, top: usize) -> Change<UnitLabels> {
        self.age(now);
        let weights = self.recent.iter().map(|(unit, recent)| (unit.clone(), recent.weight()));
        let change = self.limiter.choose(top, weights, |one, other| outdoes(*one, *other));
        self.forget_lightest();
        change
    }

    /// Chooses again by the events that were counted and by the weight of the tasks that units have now. A unit without tasks gets
    /// no series.
    pub(super) fn choose_among<T>(
        &mut self,
        present: &HashMap<UnitLabels, T>,
        weight: impl Fn(&T) -> f64,
        now: Ktime,
        top: usize,
    ) -> Change<UnitLabels> {
        self.age(now);
        let mut weights = Vec::new();
        for unit in self.limiter.named() {
            let recent = self.recent.entry(unit.clone()).or_default();
            if let Some(here) = present.get(unit) {
                recent.had = recent.had.max(weight(here));
                recent.at = now;
            }
            if now.since(recent.at) < ENDED_NS {
                weights.push((unit.clone(), recent.weight()));
            }
        }
        let unnamed = present.iter().filter(|(unit, _)| !self.limiter.is_named(unit));
        let mut unnamed: Vec<(Reverse<Weight>, &UnitLabels)> = unnamed
            .map(|(unit, here)| {
                let counted = self.recent.get(unit).map_or(0.0, |recent| recent.counted);
                (Reverse(Weight(weight(here) + counted)), unit)
            })
            .collect();
        // No more than `top` units can get series, and there may be ten thousand units.
        if unnamed.len() > top {
            unnamed.select_nth_unstable(top);
            unnamed.truncate(top);
        }
        weights.extend(unnamed.into_iter().map(|(Reverse(weight), unit)| (unit.clone(), weight)));
        let change = self.limiter.choose(top, weights, |one, other| outdoes(*one, *other));
        for unit in &change.begun {
            let recent = self.recent.entry(unit.clone()).or_default();
            recent.had = present.get(unit).map_or(0.0, &weight);
            recent.at = now;
        }
        self.forget_lightest();
        change
    }

    /// Lowers the weights of past events and tasks by the time that has passed since the last call.
    fn age(&mut self, now: Ktime) {
        let since = seconds(now.since(self.aged.unwrap_or(now)));
        self.aged = Some(now);
        let left = (-since / HALF_LIFE_S).exp2();
        for recent in self.recent.values_mut() {
            recent.counted *= left;
            recent.had *= left;
            if std::mem::take(&mut recent.is_new) {
                recent.at = now;
            }
        }
    }

    /// Forgets units without series, those with the smallest weights first, until [`MOST_UNNAMED`] are left.
    fn forget_lightest(&mut self) {
        if self.recent.len() <= MOST_UNNAMED {
            return;
        }
        let unnamed = self.recent.iter().filter(|(unit, _)| !self.limiter.is_named(unit));
        let mut unnamed: Vec<(Weight, UnitLabels)> =
            unnamed.map(|(unit, recent)| (recent.weight(), unit.clone())).collect();
        unnamed.sort_unstable();
        for (_, unit) in unnamed.iter().take(unnamed.len().saturating_sub(MOST_UNNAMED)) {
            self.recent.remove(unit);
        }
    }

    /// Returns the number of units whose weight is kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.recent.len()
    }
}

fn outdoes(one: Weight, other: Weight) -> bool {
    one.0 > LEAD * other.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::service::metrics) fn unit(name: &str) -> UnitLabels {
        UnitLabels { unit: name.into(), ..UnitLabels::default() }
    }

    fn choose(ranking: &mut Ranking, present: &[(&str, f64)], now: u64, top: usize) {
        let present: HashMap<_, _> = present.iter().map(|(name, weight)| (unit(name), *weight)).collect();
        ranking.choose_among(&present, |weight| *weight, Ktime(now), top);
    }

    fn named(ranking: &Ranking) -> Vec<&str> {
        ranking.named().map(|unit| &*unit.unit).collect()
    }

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn units_with_most_tasks_are_named_and_keep_their_place_until_another_has_twice_as_many() {
        let mut ranking = Ranking::default();
        choose(&mut ranking, &[("a", 5.0), ("b", 4.0), ("c", 3.0)], 0, 2);
        assert_eq!(named(&ranking), ["a", "b"]);
        choose(&mut ranking, &[("a", 5.0), ("b", 4.0), ("c", 8.0)], 1, 2);
        assert_eq!(named(&ranking), ["a", "b"]);
        choose(&mut ranking, &[("a", 5.0), ("b", 4.0), ("c", 9.0)], 2, 2);
        assert_eq!(named(&ranking), ["a", "c"]);
    }

    #[test]
    fn a_unit_that_has_ended_makes_room_after_a_minute_for_one_with_tasks() {
        let mut ranking = Ranking::default();
        assert_eq!(ranking.count(unit("job"), 100.0, 1), unit("job"));
        assert_eq!(ranking.count(unit("idle"), 1.0, 1), UnitLabels::other());
        let idle = [("idle", 1.0)];
        choose(&mut ranking, &idle, MINUTE, 1);
        choose(&mut ranking, &idle, 2 * MINUTE - 1, 1);
        assert_eq!(named(&ranking), ["job"]);
        choose(&mut ranking, &idle, 2 * MINUTE, 1);
        assert_eq!(named(&ranking), ["idle"]);
    }

    #[test]
    fn a_unit_that_has_just_ended_gets_no_series_and_one_with_series_keeps_them_until_they_are_needed() {
        let mut ranking = Ranking::default();
        choose(&mut ranking, &[("a", 1.0)], 0, 1);
        ranking.count(unit("gone"), 100.0, 1);
        choose(&mut ranking, &[("a", 1.0)], 1, 1);
        assert_eq!(named(&ranking), ["a"]);
        choose(&mut ranking, &[], 60 * MINUTE, 1);
        assert_eq!(named(&ranking), ["a"]);
    }
}
