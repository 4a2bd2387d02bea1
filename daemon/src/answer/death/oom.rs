//! The memory limit that was reached when the out-of-memory killer ran, in answers.

use serde::{Deserialize, Serialize};

use crate::{lineage::death::OomLimit, size};

/// The memory limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oom {
    /// `cgroup` or `host`.
    pub scope: String,
    /// `certain` if the kernel names the limit; `likely` if it is concluded from the usage of the trigger's memory cgroups.
    pub certainty: String,
    /// Name of the memory cgroup's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_name: Option<String>,
    /// Its path, if the cgroup still existed when the record arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Version of its hierarchy: `v1` or `v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<String>,
    /// Its limit, or the host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The bytes charged to it at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Whether the killer ends all processes of the cgroup together (`memory.oom.group`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kills_group: bool,
    /// Its victims so far, as the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub victims: Option<u64>,
    /// Total swap of the host, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<u64>,
    /// Free swap of the host, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_free_bytes: Option<u64>,
}

impl Oom {
    pub(super) fn of(limit: &OomLimit) -> Self {
        let cgroup = limit.cgroup.as_ref();
        let host = limit.host.as_ref();
        Self {
            scope: limit.scope.code().into(),
            certainty: if limit.is_certain { "certain" } else { "likely" }.into(),
            cgroup_name: limit.cgroup_name.clone(),
            cgroup: cgroup.map(|it| it.path.clone()),
            hierarchy: cgroup.map(|it| if it.is_v1 { "v1" } else { "v2" }.into()),
            limit_bytes: limit.limit_bytes.or_else(|| host.map(|it| it.total_bytes)),
            used_bytes: limit.used_bytes,
            kills_group: cgroup.is_some_and(|it| it.kills_group),
            victims: cgroup.and_then(|it| it.victims),
            swap_bytes: host.map(|it| it.swap_bytes),
            swap_free_bytes: host.map(|it| it.swap_free_bytes),
        }
    }

    /// Returns the limit as text that follows a colon.
    #[must_use]
    pub fn words(&self) -> String {
        let likely = if self.certainty == "likely" { " (likely)" } else { "" };
        if self.scope == "host" {
            let total = self.limit_bytes.map_or_else(String::new, |total| format!(" of {}", rounded(total)));
            let swap = match (self.swap_bytes, self.swap_free_bytes) {
                (Some(0), _) => " and no swap".into(),
                (Some(_), Some(free)) => format!(", with {} of swap free", rounded(free)),
                _ => String::new(),
            };
            return format!("the host had no memory left{total}{swap}{likely}");
        }
        let name = match (&self.cgroup, &self.cgroup_name) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => format!("{name} (removed since)"),
            (None, None) => "(unknown)".into(),
        };
        let Some(limit) = self.limit_bytes else {
            return format!(
                "the memory cgroup {name} reached its limit on memory and swap; it has no limit on memory alone{likely}"
            );
        };
        let file = match self.hierarchy.as_deref() {
            Some("v1") => "memory.limit_in_bytes",
            Some(_) => "memory.max",
            None => "the memory limit",
        };
        let used = self.used_bytes.map_or_else(String::new, |used| format!("{} of ", rounded(used)));
        let group =
            if self.kills_group { "; memory.oom.group is set: all its processes are killed" } else { "" };
        format!("{file} of the cgroup {name} was reached, {used}{} used{group}{likely}", rounded(limit))
    }
}

/// `16M`, `1.9G`.
fn rounded(bytes: u64) -> String {
    let text = size::text(bytes);
    if text.len() <= 5 {
        return text;
    }
    let (shift, unit) = if bytes >= 1 << 30 {
        (30, "G")
    } else if bytes >= 1 << 20 {
        (20, "M")
    } else {
        (10, "K")
    };
    // Tenths, without a float.
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::death::{HostMemory, OomCgroup, OomScope};

    #[test]
    fn a_limit_is_reported_with_its_file_and_use() {
        let mut limit = OomLimit {
            scope: OomScope::Cgroup,
            is_certain: true,
            cgroup_id: Some(7),
            cgroup_name: Some("a".into()),
            limit_bytes: Some(16 << 20),
            used_bytes: Some((16 << 20) - 4096),
            cgroup: Some(OomCgroup { path: "/a".into(), is_v1: true, kills_group: false, victims: Some(1) }),
            host: None,
        };
        assert_eq!(
            Oom::of(&limit).words(),
            "memory.limit_in_bytes of the cgroup /a was reached, 15.9M of 16M used"
        );
        limit.cgroup = None;
        limit.limit_bytes = None;
        assert!(Oom::of(&limit).words().contains("memory and swap"), "{}", Oom::of(&limit).words());
        limit.scope = OomScope::Host;
        limit.is_certain = false;
        limit.host = Some(HostMemory { total_bytes: 2 << 30, swap_bytes: 0, swap_free_bytes: 0 });
        assert_eq!(Oom::of(&limit).words(), "the host had no memory left of 2G and no swap (likely)");
    }
}
