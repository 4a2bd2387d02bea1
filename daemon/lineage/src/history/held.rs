//! What a lineage holds: memory and numbers of items.

use crate::Lineage;
use crate::model::task::TaskState;
use crate::store::counts::StoreBytes;
use crate::store::slot::group::Group;
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

/// Memory that the lineage uses, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Memory of live tasks and tombstones.
    pub live: usize,
    /// Part of `live`: for tasks that have at least begun to exit, by their number and their share of the side tables.
    pub dying: usize,
    /// Part of `live`: free slots that are kept for further tasks.
    pub spare: usize,
    /// Memory of lives that have ended.
    pub dead: usize,
}

/// Numbers of stored items besides live tasks and their groups. Each is bounded or expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Released tasks, for late records of them.
    pub released: usize,
    /// Tasks in `EXIT_DEAD` whose release record is still to come.
    pub dead: usize,
    /// Lives that have ended.
    pub dead_lives: usize,
    /// Dead children of dead parents that may or may not have been reparented.
    pub pending_reparents: usize,
    /// Leaders whose RCU callback arrived before the last switch of another task.
    pub early_frees: usize,
    /// Execs that wait for their arguments.
    pub execs_without_args: usize,
    /// Leaders that a snapshot found dead, and whose threads are still to be seen.
    pub undecided_leaders: usize,
    /// Inits of pid namespaces.
    pub namespaces: usize,
    /// Paths of programs.
    pub paths: usize,
}

impl Lineage {
    /// Bytes held for live tasks, and for what is kept of dead ones.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let StoreBytes { slots, used, shared, usages, tables } = self.store.bytes();
        let dying = self.dying_count();
        // Assume a group for each task: few exiting tasks are threads.
        let groups =
            (dying - self.store.state_counts().of(TaskState::Released)).min(self.store.group_count());
        let each = size_of::<Task>() + size_of::<Option<Ix<Task>>>();
        Memory {
            live: slots + tables + self.accounting.awaiting_last_switch.bytes(),
            dying: dying * each
                + groups * size_of::<Group>()
                + usages
                + shared * groups / self.store.group_count().max(1),
            spare: slots - used,
            dead: self.exited.bytes(),
        }
    }

    /// The number of tasks in the store, tombstones included.
    #[must_use]
    pub const fn task_count(&self) -> usize {
        self.store.task_count()
    }

    /// The number of stored tasks that have at least begun to exit.
    #[must_use]
    pub const fn dying_count(&self) -> usize {
        self.store.state_counts().of(TaskState::Exiting)
            + self.store.state_counts().of(TaskState::Zombie)
            + self.store.state_counts().of(TaskState::Dead)
            + self.store.state_counts().of(TaskState::Released)
    }

    /// The number of stored paths of programs.
    #[must_use]
    pub fn path_count(&self) -> usize {
        self.store.path_count()
    }

    /// The numbers of stored items besides live tasks and their groups.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            released: self.store.queue_ends(Queue::Tombstone).len,
            dead: self.store.queue_ends(Queue::Dead).len,
            dead_lives: self.exited.len(),
            pending_reparents: self.reconcile.pending_reparents.len(),
            early_frees: self.reconcile.freed_leaders.len(),
            execs_without_args: self.awaiting_args.len(),
            undecided_leaders: self.reconcile.undecided_leaders.len(),
            namespaces: self.store.namespace_count(),
            paths: self.store.path_count(),
        }
    }
}
