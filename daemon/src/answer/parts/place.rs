//! Places of processes: cgroup, unit, container, pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cgroup;

/// The place of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Place")]
pub struct AnswerPlace {
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// The innermost container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

impl AnswerPlace {
    /// Returns the shortest name: container, unit, or path.
    #[must_use]
    pub fn short(&self) -> String {
        match (&self.container, &self.cgroup.unit) {
            (Some(container), _) => {
                let id: String = container.id.chars().take(12).collect();
                format!("{}:{id}", container.runtime)
            }
            (None, Some(unit)) => unit.clone(),
            (None, None) if self.cgroup.path == "/" => "-".into(),
            (None, None) => self.cgroup.path.clone(),
        }
    }
}

impl From<&cgroup::Place> for AnswerPlace {
    fn from(place: &cgroup::Place) -> Self {
        let container = place.container.as_ref();
        Self {
            cgroup: Cgroup {
                path: place.path.clone(),
                controller_path: place.controller_path.clone(),
                unit: place.unit.clone(),
            },
            container: container.map(|it| Container {
                id: it.id.clone(),
                runtime: it.runtime.into(),
                name: it.name.clone(),
            }),
            pod: place.pod_uid.as_ref().map(|uid| Pod {
                uid: uid.clone(),
                namespace: place.pod_name.as_ref().map(|of| of.namespace.clone()),
                name: place.pod_name.as_ref().map(|of| of.name.clone()),
            }),
        }
    }
}

/// A cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cgroup {
    /// Its path in the v2 hierarchy; in the hierarchy of the v1 controller if the task is in the root of v2.
    pub path: String,
    /// Its path in the hierarchy of the observed v1 controller, if it is not the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_path: Option<String>,
    /// The innermost systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its runtime.
    pub runtime: String,
    /// Its name in its pod, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pod {
    /// Its uid.
    pub uid: String,
    /// Its namespace, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
