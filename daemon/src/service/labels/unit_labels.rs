//! The systemd unit or container that processes run in, as labels.

use super::names::{OTHER, unit_label};
use crate::cgroup::{Cgroups, Place};
use crate::lineage::id::Ktime;

/// Names of the labels.
pub(in crate::service) const UNIT_LABELS: [&str; 4] = ["unit", "container_id", "runtime", "pod_uid"];

/// A systemd unit or container; all fields are empty if neither is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::service) struct UnitLabels {
    /// systemd unit.
    pub(in crate::service) unit: String,
    /// Short id of the container.
    pub(in crate::service) container: String,
    /// The runtime of the container.
    pub(in crate::service) runtime: &'static str,
    /// Uid of the Kubernetes pod.
    pub(in crate::service) pod: String,
}

impl UnitLabels {
    /// Returns the labels of all units without a series of their own. No unit is named `other`, because names of units end in
    /// `.service`, `.scope` and the like.
    pub(in crate::service) fn other() -> Self {
        Self { unit: OTHER.into(), ..Self::default() }
    }

    /// Returns the labels of a cgroup.
    pub(in crate::service) fn of(cgroup: Option<u64>, cgroups: &mut Cgroups, now: Ktime) -> Self {
        cgroup.and_then(|id| cgroups.place(id, now.0)).map(|place| Self::at(place)).unwrap_or_default()
    }

    /// Returns the labels of a place.
    pub(in crate::service) fn at(place: &Place) -> Self {
        Self {
            unit: place.unit.as_deref().map(unit_label).unwrap_or_default(),
            container: place
                .container
                .as_ref()
                .map(|container| container.short_id().to_owned())
                .unwrap_or_default(),
            runtime: place.container.as_ref().map_or("", |container| container.runtime),
            pod: place.pod_uid.clone().unwrap_or_default(),
        }
    }

    /// Returns the values of its labels.
    pub(in crate::service) fn labels(&self) -> [&str; 4] {
        [&self.unit, &self.container, self.runtime, &self.pod]
    }
}
