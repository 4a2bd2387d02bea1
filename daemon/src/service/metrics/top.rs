//! Who owes the waits: zombies by the name of their parent and where it lives, the worst first.

use std::{cmp::Reverse, collections::HashMap};

use super::names::label;
use crate::{
    cgroup::Cgroups,
    lineage::{GroupView, Lineage, id::Ktime},
};

/// A name that processes go by, with where they live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Who {
    /// Comm of the parent.
    pub(super) parent: String,
    /// systemd unit.
    pub(super) unit: String,
    /// Short id of the container.
    pub(super) container: String,
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
}

impl Culprit {
    fn add(&mut self, zombies: u64, oldest: Option<Ktime>) {
        self.zombies += zombies;
        self.oldest = match (self.oldest, oldest) {
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
    let mut by_who: HashMap<Who, Culprit> = HashMap::new();
    for zombie in lineage.zombies() {
        let who = who(zombie.parent(), cgroups, now);
        let culprit = by_who.entry(who.clone()).or_insert_with(|| Culprit { who, ..Culprit::default() });
        culprit.add(1, zombie.zombie_since());
    }
    let mut all: Vec<Culprit> = by_who.into_values().collect();
    all.sort_by_cached_key(|culprit| (Reverse(culprit.zombies), culprit.oldest, culprit.who.clone()));
    let mut other = Culprit { who: Who { parent: "other".into(), ..Who::default() }, ..Culprit::default() };
    for rest in all.drain(top.min(all.len())..) {
        other.add(rest.zombies, rest.oldest);
    }
    (all, other)
}

fn who(parent: Option<GroupView<'_>>, cgroups: &mut Cgroups, now: Ktime) -> Who {
    let Some(parent) = parent else { return Who { parent: "unknown".into(), ..Who::default() } };
    let name = parent.name().map_or_else(|| "unknown".into(), |name| label(name.bytes()));
    let place = parent.cgroup_id().and_then(|id| cgroups.place(id, now.0).cloned());
    let Some(place) = place else { return Who { parent: name, ..Who::default() } };
    Who {
        parent: name,
        unit: place.unit.as_deref().map(|unit| label(unit.as_bytes())).unwrap_or_default(),
        container: place
            .container
            .as_ref()
            .map(|container| container.short_id().to_owned())
            .unwrap_or_default(),
    }
}
