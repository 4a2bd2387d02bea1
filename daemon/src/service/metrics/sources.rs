//! What a scrape reads besides the pipeline.

use crate::{
    cgroup::Cgroups,
    export::Stamp,
    history::History,
    kernel::sched::SchedReading,
    lineage::id::Ktime,
    outputs::Outputs,
    service::{budget::Budget, http::ConnectionCounts, memory::MemoryGuard, readers::Readers, sched::Shown},
};

/// What a scrape reads besides the pipeline.
pub(in crate::service) struct Sources<'a> {
    /// `CLOCK_BOOTTIME`.
    pub(in crate::service) now: Ktime,
    /// Places of cgroups.
    pub(in crate::service) cgroups: &'a mut Cgroups,
    /// The pid budget.
    pub(in crate::service) budget: &'a Budget,
    /// Readers of events.
    pub(in crate::service) readers: &'a Readers,
    /// Connections of all addresses.
    pub(in crate::service) connections: &'a ConnectionCounts,
    /// The memory in use, and what was given up.
    pub(in crate::service) memory: &'a MemoryGuard,
    /// The history on disk.
    pub(in crate::service) history: Option<&'a History>,
    /// Where events are sent.
    pub(in crate::service) outputs: &'a Outputs,
    /// Number of parents, and of units, that are named.
    pub(in crate::service) top: usize,
    /// What `--sched` counted.
    pub(in crate::service) sched: Option<(SchedReading, Shown)>,
    /// The clock of entity ids and timestamps.
    pub(in crate::service) stamp: &'a Stamp,
}
