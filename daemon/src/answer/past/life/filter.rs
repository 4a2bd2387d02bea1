//! The filter of a query for lives.

use super::LifeRecord;
use crate::{answer::death::any, export::matches as glob};

/// The filter of a query. Conditions of one kind are alternatives; conditions of different kinds must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifeFilter {
    /// Processes.
    pub pids: Vec<u32>,
    /// Comms; `*` and `?` match as in a shell.
    pub comms: Vec<String>,
    /// systemd units; `*` and `?` match as in a shell.
    pub units: Vec<String>,
    /// Ids of containers, or prefixes of them.
    pub containers: Vec<String>,
    /// Codes of causes of death.
    pub causes: Vec<String>,
    /// Whether only processes are meant that ended otherwise than by exit code 0.
    pub failed: bool,
    /// A time at which the process existed, ms since the epoch.
    pub at_ms: Option<i64>,
    /// The last time at which the process may have ended, ms since the epoch.
    pub ended_by_ms: Option<i64>,
}

impl LifeFilter {
    /// Whether a record matches the filter.
    #[must_use]
    pub fn wants(&self, record: &LifeRecord) -> bool {
        let name = record.process.name.as_deref().unwrap_or_default();
        let unit = record.place.as_ref().and_then(|place| place.cgroup.unit.as_deref());
        let container = record.place.as_ref().and_then(|place| place.container.as_ref());
        self.at_ms.is_none_or(|at| record.existed_at(at))
            && self.ended_by_ms.is_none_or(|by| record.ended_ms().is_some_and(|ended| ended <= by))
            && (!self.failed || record.has_failed())
            && any(&self.pids, |pid| *pid == record.process.pid)
            && any(&self.comms, |pattern| glob(pattern.as_bytes(), name.as_bytes()))
            && any(&self.causes, |code| *code == record.death.cause)
            && any(&self.units, |pattern| unit.is_some_and(|unit| glob(pattern.as_bytes(), unit.as_bytes())))
            && any(&self.containers, |id| container.is_some_and(|it| it.id.starts_with(id.as_str())))
    }

    /// Whether the filter matches every life.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        *self == Self::default()
    }
}
