//! The health of many daemons: one row each.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Merge, OfHost, RowTooLong};

/// The most characters of a text that a row keeps: there is a row for each host.
const TEXT_MAX: usize = 512;

/// The most lines about what a host cannot report.
const DEGRADED_MAX: usize = 16;

/// The part of a daemon's `/v1/status` that a row shows. Only fields that all versions have are required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The daemon's version.
    pub version: String,
    /// How long it has been running, ns.
    pub uptime_ns: u64,
    /// Whether it sees what happens.
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    /// What is wrong although it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_but: Option<String>,
    /// All tasks.
    pub tasks: u64,
    /// All processes.
    pub processes: u64,
    /// All zombies.
    pub zombies: u64,
    /// Zombies that are flagged.
    #[serde(default)]
    pub zombies_old: u64,
    /// Records that were lost.
    #[serde(default)]
    pub records_lost: u64,
    /// Facts that were repaired although no loss was known.
    #[serde(default, skip_serializing)]
    drift: BTreeMap<String, u64>,
    /// The sum of `drift`.
    #[serde(default, rename = "drift", skip_deserializing)]
    pub drifted: u64,
    /// Resident memory, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// What this daemon's kernel cannot report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
}

/// The answer of `fleet status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetStatus {
    /// A row for each host that answered: those that are not ready first, then by name.
    pub daemons: Vec<OfHost<HostStatus>>,
}

impl HostStatus {
    /// Returns 0 if it is not ready, 1 if it is ready with something wrong, else 2.
    const fn rank(&self) -> u8 {
        match (self.ready, &self.ready_but) {
            (false, _) => 0,
            (true, Some(_)) => 1,
            (true, None) => 2,
        }
    }

    /// Drops what no real daemon says.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.drifted = self.drift.values().fold(0, |sum, count| sum.saturating_add(*count));
        self.drift = BTreeMap::new();
        self.version = short(&self.version);
        self.not_ready_because = self.not_ready_because.as_deref().map(short);
        self.ready_but = self.ready_but.as_deref().map(short);
        self.degraded = self.degraded.iter().take(DEGRADED_MAX).map(|text| short(text)).collect();
        self
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

impl Merge for FleetStatus {
    type Answer = HostStatus;

    fn add(&mut self, host: &Arc<str>, answer: HostStatus) -> Result<(), RowTooLong> {
        self.daemons.push(OfHost { host: host.clone(), row: answer.bounded() });
        Ok(())
    }

    fn finish(&mut self) {
        self.daemons.sort_by(|a, b| (a.row.rank(), &a.host).cmp(&(b.row.rank(), &b.host)));
    }
}
