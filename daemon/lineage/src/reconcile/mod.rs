//! What is uncertain, and what settles it: a later record, a snapshot, or time.
//!
//! | file | what |
//! |---|---|
//! | `snapshot` | merges the kernel's tasks, as the iterator or /proc shows them, with what the records showed |
//! | `snapshot_conflict` | a snapshot that shows another parent than the one that was concluded |
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
    /// How many there were.
    pub(crate) reparents_opened: u64,
    /// Leaders whose RCU callback overtook the last switch of another task of their group.
    pub(crate) freed_leaders: VecDeque<(Ktime, TaskKey)>,
    /// Of these, leaders of groups that lost a task in the present record.
    pub(crate) releasable_leaders: Vec<(TaskKey, Ktime)>,
    /// The snapshot that is being applied.
    pub(crate) snapshot: Option<SnapshotInProgress>,
    /// Its number: tasks that it shows carry it.
    pub(crate) snapshot_number: u8,
    pub(crate) had_snapshot: bool,
    /// Up to then records were lost that may have shown releases.
    pub(crate) lost_until: Ktime,
    /// Groups that the kernel hides from the programs that send records.
    pub(crate) hidden: HashSet<Tgid>,
    /// Leaders that a snapshot found dead. Whether they are zombies is known once all their threads are.
    pub(crate) undecided_leaders: Vec<(TaskKey, Provenance)>,
    /// Parents that a snapshot showed although another was concluded. Threads that it shows later can settle which is right.
    pub(crate) snapshot_conflicts: BTreeMap<TaskKey, SnapshotConflict>,
}
