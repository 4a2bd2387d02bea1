//! Who owes the waits: zombies by the name of their parent and where it lives, the worst first.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use super::{
    names::{OTHER, UNKNOWN, comm_label},
    unit_labels::UnitLabels,
};
use crate::{
    cgroup::Cgroups,
    lineage::{
        GroupView, Lineage,
        id::{GroupKey, Ktime},
    },
};

/// A name that processes go by, with where they live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Who {
    /// Comm of the parent.
    pub(super) parent: String,
    /// Where it lives.
    pub(super) home: UnitLabels,
}

/// A culprit: all parents of that name and place together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Culprit {
    /// Who.
    pub(super) who: Who,
    /// Zombies that wait for them.
    pub(super) zombies: u64,
    /// Since when the oldest does.
    pub(super) oldest: Option<Ktime>,
    /// For how long all of them do, together.
    pub(super) debt: Duration,
}

impl Culprit {
    fn add(&mut self, debt: &Self) {
        self.zombies += debt.zombies;
        self.debt += debt.debt;
        self.oldest = match (self.oldest, debt.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// The worst `top` culprits and the rest as one, called `other`. Costs a step a zombie, not a task.
pub(super) fn culprits(
    lineage: &Lineage,
    cgroups: &mut Cgroups,
    now: Ktime,
    top: usize,
) -> (Vec<Culprit>, Culprit) {
    // By parent first: names and places are made once for each, and not for each of ten thousand zombies.
    let mut by_parent: HashMap<Option<GroupKey>, (Option<GroupView<'_>>, Culprit)> = HashMap::new();
    for zombie in lineage.zombies() {
        let parent = zombie.parent();
        let since = zombie.zombie_since();
        let one = Culprit {
            zombies: 1,
            oldest: since,
            debt: since.map_or(Duration::ZERO, |since| Duration::from_nanos(now.since(since))),
            ..Culprit::default()
        };
        let key = parent.map(|parent| parent.key());
        by_parent.entry(key).or_insert_with(|| (parent, Culprit::default())).1.add(&one);
    }
    let mut by_who: HashMap<Who, Culprit> = HashMap::new();
    for (parent, debt) in by_parent.into_values() {
        let who = who(parent, cgroups, now);
        by_who.entry(who.clone()).or_insert_with(|| Culprit { who, ..Culprit::default() }).add(&debt);
    }
    let mut all: Vec<Culprit> = by_who.into_values().collect();
    all.sort_by_cached_key(|culprit| (Reverse(culprit.zombies), culprit.oldest, culprit.who.clone()));
    let mut other = Culprit { who: Who { parent: OTHER.into(), ..Who::default() }, ..Culprit::default() };
    for rest in all.drain(top.min(all.len())..) {
        other.add(&rest);
    }
    (all, other)
}

fn who(parent: Option<GroupView<'_>>, cgroups: &mut Cgroups, now: Ktime) -> Who {
    let Some(parent) = parent else { return Who { parent: UNKNOWN.into(), ..Who::default() } };
    let name = parent.name().map_or_else(|| UNKNOWN.into(), |name| comm_label(name.bytes()));
    Who { parent: name, home: UnitLabels::of(parent.cgroup_id(), cgroups, now) }
}
