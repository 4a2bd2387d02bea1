//! What the parent and a child of a process that ended had to do with its end.

use std::sync::Arc;

use super::{ChildBefore, Death, ParentThen, child_before, parent_then};
use crate::{
    answer::{HostFacts, LineageAt},
    lineage::death::GroupDeath,
};

/// What the parent and a child of a process that ended had to do with it.
#[derive(Clone, Debug, Default)]
pub(in crate::answer) struct Relatives {
    parent: Option<parent_then::Then>,
    child: Option<child_before::Child>,
}

impl Relatives {
    /// Returns the relatives for each end.
    pub(in crate::answer) fn of(deaths: &[Arc<GroupDeath>], lineage_at: &LineageAt<'_>) -> Vec<Self> {
        let parents = parent_then::of(deaths, lineage_at);
        let children = child_before::of(deaths, lineage_at);
        parents.into_iter().zip(children).map(|(parent, child)| Self { parent, child }).collect()
    }
}

impl Death {
    /// Creates the record of a dead group, with what its parent and a child had to do with it.
    pub(in crate::answer) fn with_relatives(
        of: &GroupDeath,
        relatives: &Relatives,
        host_facts: &mut HostFacts<'_>,
    ) -> Self {
        let mut death = Self::of(of, host_facts);
        if let Some(child) = &relatives.child {
            let child = ChildBefore::of(child, of, host_facts.stamp);
            death.summary.push_str(&child.words());
            death.child_before = Some(child);
        }
        if let Some(then) = &relatives.parent {
            let then = ParentThen::of(then, of, host_facts.stamp);
            death.summary.push_str(&then.words(death.parent.as_ref()));
            death.parent_then = Some(then);
        }
        death
    }
}
