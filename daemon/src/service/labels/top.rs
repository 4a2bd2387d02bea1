//! Zombies by the name and unit of their parent, the parents with most zombies first.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use super::{
    names::{OTHER, UNKNOWN, comm_label},
    series_limiter::SeriesLimiter,
    unit_labels::UnitLabels,
};
use crate::{
    cgroup::Cgroups,
    lineage::{
        GroupView, Lineage,
        id::{GroupKey, Ktime},
    },
};

/// A parent whose zombies are all younger than this, ns, gets no series. On a busy host every scrape finds children that have just
/// died and that their parents reap a moment later. Each of these parents would get a series.
const JUST_DIED_NS: u64 = 1_000_000_000;

/// The name and unit of parents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::service) struct Who {
    /// Comm of the parent.
    pub(in crate::service) parent: String,
    /// The unit it runs in.
    pub(in crate::service) unit: UnitLabels,
}

/// The series of all parents with one name and unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct ParentSeries {
    /// The parents.
    pub(in crate::service) who: Who,
    /// Zombies that they have not reaped.
    pub(in crate::service) zombies: u64,
    /// Since when the oldest of them is a zombie.
    pub(in crate::service) oldest: Option<Ktime>,
    /// The sum of their ages.
    pub(in crate::service) debt: Duration,
}

impl ParentSeries {
    fn add(&mut self, debt: &Self) {
        self.zombies += debt.zombies;
        self.debt += debt.debt;
        self.oldest = match (self.oldest, debt.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Returns the `top` parents with most zombies, and the sum of all others, called `other`, as [`choose`] does. It visits the zombies, not all tasks.
pub(in crate::service) fn parent_series(
    lineage: &Lineage,
    cgroups: &mut Cgroups,
    now: Ktime,
    top: usize,
) -> (Vec<ParentSeries>, ParentSeries) {
    // Grouped by parent first, so that names and units are looked up once for each parent and not for each of ten thousand
    // zombies.
    let mut by_parent: HashMap<Option<GroupKey>, (Option<GroupView<'_>>, ParentSeries)> = HashMap::new();
    for zombie in lineage.zombies() {
        let parent = zombie.parent();
        let since = zombie.zombie_since();
        let one = ParentSeries {
            zombies: 1,
            oldest: since,
            debt: since.map_or(Duration::ZERO, |since| Duration::from_nanos(now.since(since))),
            ..ParentSeries::default()
        };
        let key = parent.map(|parent| parent.key());
        by_parent.entry(key).or_insert_with(|| (parent, ParentSeries::default())).1.add(&one);
    }
    let mut by_who: HashMap<Who, ParentSeries> = HashMap::new();
    for (parent, debt) in by_parent.into_values() {
        let who = who(parent, cgroups, now);
        by_who
            .entry(who.clone())
            .or_insert_with(|| ParentSeries { who, ..ParentSeries::default() })
            .add(&debt);
    }
    choose(by_who, now, top)
}

/// Returns the `top` parents with most zombies, among those with a zombie older than [`JUST_DIED_NS`], and the sum of all others.
fn choose(
    mut by_who: HashMap<Who, ParentSeries>,
    now: Ktime,
    top: usize,
) -> (Vec<ParentSeries>, ParentSeries) {
    let owes = |(_, series): &(&Who, &ParentSeries)| {
        series.oldest.is_none_or(|since| now.since(since) >= JUST_DIED_NS)
    };
    // The metrics are gauges, so it does not matter which parents had a series before.
    let weights = by_who.iter().filter(owes);
    let weights = weights.map(|(who, debt)| (who.clone(), (debt.zombies, Reverse(debt.oldest))));
    let named = SeriesLimiter::default().choose(top, weights, |_, _| false).begun;
    let named = named.iter().filter_map(|who| by_who.remove(who)).collect();
    let mut other =
        ParentSeries { who: Who { parent: OTHER.into(), ..Who::default() }, ..ParentSeries::default() };
    for rest in by_who.values() {
        other.add(rest);
    }
    (named, other)
}

fn who(parent: Option<GroupView<'_>>, cgroups: &mut Cgroups, now: Ktime) -> Who {
    let Some(parent) = parent else { return Who { parent: UNKNOWN.into(), ..Who::default() } };
    let name = parent.name().map_or_else(|| UNKNOWN.into(), |name| comm_label(name.bytes()));
    Who { parent: name, unit: UnitLabels::of(parent.cgroup_id(), cgroups, now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_named_once_it_has_not_waited_for_a_second() {
        let series = |name: &str, zombies, oldest| {
            let who = Who { parent: name.into(), ..Who::default() };
            let since = Some(Ktime(oldest));
            (who.clone(), ParentSeries { who, zombies, oldest: since, debt: Duration::ZERO })
        };
        let all = [series("make", 5, 9_500_000_000), series("init", 1, 9_000_000_000), series("leak", 3, 0)];
        let of = |top| {
            let (named, other) = choose(all.clone().into(), Ktime(10_000_000_000), top);
            (named.into_iter().map(|one| one.who.parent).collect::<Vec<_>>(), other.zombies)
        };
        assert_eq!(of(3), (vec!["leak".to_owned(), "init".to_owned()], 5));
        assert_eq!(of(1), (vec!["leak".to_owned()], 6));
    }
}
