//! Counts how records were handled.

/// Counters of a lineage; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that were passed to the lineage.
    pub records: u64,
    /// Records that name a tid that no kernel assigns, create or end the idle task, or have a time in the future.
    pub refused: u64,
    /// Records of a task that is in a later state already, or released. Missing facts were added; no state went back.
    pub late: u64,
    /// Records that changed nothing.
    pub duplicate: u64,
    /// Records that contradict known facts. The newer record was kept.
    pub contradictory: u64,
    /// Tasks without a fork record that a later record of their own showed.
    pub learned: u64,
    /// Tasks that only records of other tasks name.
    pub implied: u64,
    /// Ends without a record, concluded from the kernel's rules (a reused tid, a released leader, an exec) or from elapsed time
    /// (a dead task without further records).
    pub concluded: u64,
    /// Records of a failed clone that do not name the caller.
    pub unattributable: u64,
    /// Forks that only a snapshot showed.
    pub missed_forks: u64,
    /// Exits that only a snapshot showed.
    pub missed_exits: u64,
    /// Releases that only a snapshot showed, by not showing the task.
    pub missed_releases: u64,
    /// Parents that a snapshot showed to be wrong.
    pub wrong_parents: u64,
    /// Comms that a snapshot showed to be wrong.
    pub wrong_names: u64,
    /// Forks by or of a hidden task that only a snapshot showed. The next three fields count the same for other changes.
    pub hidden_forks: u64,
    /// Exits of hidden tasks.
    pub hidden_exits: u64,
    /// Releases that a hidden task may have run, or an interrupt on top of one.
    pub hidden_releases: u64,
    /// Comms of hidden tasks.
    pub hidden_names: u64,
    /// Tasks that were concluded to be gone and that a later snapshot showed.
    pub revived: u64,
    /// Second exit records that added to the first.
    pub completed: u64,
    /// Threads that took their leader's place by an exec.
    pub takeovers: u64,
    /// Parents that another record of the child showed to be wrong.
    pub parents_corrected: u64,
}
