//! What became of the records, in numbers.

/// Counters of a lineage; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records taken.
    pub records: u64,
    /// Records that named a tid no kernel hands out, or the idle task as if it could be born or die, or a time that is not yet.
    pub refused: u64,
    /// Records of a task already further in its life, or gone: facts were added where they were missing, nothing went back.
    pub late: u64,
    /// Records that changed nothing.
    pub duplicate: u64,
    /// Records that cannot be true together with what is known; the newer word of the kernel was kept.
    pub contradictory: u64,
    /// Tasks whose birth was not seen, learned of by a later record of their own.
    pub learned: u64,
    /// Tasks known only because another's record names them.
    pub implied: u64,
    /// Ends never seen, concluded from the kernel's rules (a reused tid, a leader released, an exec) or from time (a dead task of
    /// which nothing more was heard).
    pub concluded: u64,
    /// Records of a failed clone that do not say who asked.
    pub unattributable: u64,
    /// Births that only a snapshot showed.
    pub missed_forks: u64,
    /// Exits that only a snapshot showed.
    pub missed_exits: u64,
    /// Releases that only a snapshot showed, by not showing the task.
    pub missed_releases: u64,
    /// Parents that a snapshot showed to be wrong.
    pub wrong_parents: u64,
    /// Comms that a snapshot showed to be wrong.
    pub wrong_names: u64,
    /// Births that only a snapshot showed, by or of a hidden task; and likewise for the next three.
    pub hidden_forks: u64,
    /// Exits of hidden tasks.
    pub hidden_exits: u64,
    /// Releases that a hidden task may have run, or an interrupt on top of one.
    pub hidden_releases: u64,
    /// Comms of hidden tasks.
    pub hidden_names: u64,
    /// Tasks taken for gone that a later snapshot showed alive.
    pub revived: u64,
    /// Second exit records that added to the first.
    pub completed: u64,
    /// Threads that took their leader's place by an exec.
    pub takeovers: u64,
    /// Parents that another record of the child showed to be wrong.
    pub parents_corrected: u64,
}
