//! Facts that are uncertain, and what settles them: a later record, a snapshot, or time.
//!
//! | file | what |
//! |---|---|
//! | `snapshot` | merges the kernel's tasks, as the iterator or /proc shows them, with what the records showed |
//! | `snapshot_conflict` | a snapshot that shows a parent other than the concluded one |
//! | `concluded_end` | ends without a record |
//! | `unconfirmed` | zombies whose release may be among lost records |
//!
//! Reparentings that may not have taken place are in `apply/parents/pending_reparent`.

pub(crate) mod concluded_end;
pub(crate) mod snapshot;
pub(crate) mod snapshot_conflict;
pub(crate) mod unconfirmed;

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::model::id::{Ktime, TaskKey, Tgid};
use crate::model::kinds::Provenance;

use self::snapshot::SnapshotInProgress;
use self::snapshot_conflict::SnapshotConflict;

/// What is uncertain.
#[derive(Debug, Default)]
pub(crate) struct Reconcile {
    /// Whether children that go to another group are reported one by one: `kill_orphaned_pgrp()` is hooked.
    pub(crate) sees_reparenting: bool,
    /// Whether releases are reported when they begin, with the task that runs `release_task()`.
    pub(crate) sees_releases: bool,
    /// Children that may or may not have been reparented, the oldest case first.
    pub(crate) pending_reparents: VecDeque<(Ktime, TaskKey)>,
    /// How many children were added to `pending_reparents` so far.
    pub(crate) reparents_opened: u64,
    /// Leaders whose RCU callback arrived before the last switch of another task of their group.
    pub(crate) freed_leaders: VecDeque<(Ktime, TaskKey)>,
    /// Leaders of `freed_leaders` whose group lost a task by the present record.
    pub(crate) releasable_leaders: Vec<(TaskKey, Ktime)>,
    /// The snapshot that is being applied.
    pub(crate) snapshot: Option<SnapshotInProgress>,
    /// The number of the snapshot. Each task that it shows gets this number.
    pub(crate) snapshot_number: u8,
    pub(crate) had_snapshot: bool,
    /// Records of releases may have been lost up to this time.
    pub(crate) lost_until: Ktime,
    /// Groups that the kernel hides from the programs that send records.
    pub(crate) hidden: HashSet<Tgid>,
    /// Leaders that a snapshot found dead. They are zombies if the rest of the snapshot shows none of their threads.
    pub(crate) undecided_leaders: Vec<(TaskKey, Provenance)>,
    /// Children that a snapshot shows with a parent other than the concluded one. Threads that the snapshot shows later can
    /// settle which is right.
    pub(crate) snapshot_conflicts: BTreeMap<TaskKey, SnapshotConflict>,
}
