//! Prefetches cache lines for a batch of records.
//!
//! With many live tasks, nearly every record touches memory that is not in the cache: the entry in the index, the task, its
//! group, its counts as a parent, its first child. Each address depends on the one before, so each record would wait for several
//! cache misses in turn. The records of a batch are known in advance, so their misses can overlap: first all tasks are read, then
//! all groups.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "pieces of two"))]

use std::hint::black_box;

use crate::model::id::Tid;
use crate::model::record::{Fact, Record};
use crate::store::Store;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// With fewer tasks, all live tasks stay in a core's own cache, and prefetching would only cost time.
const MANY: usize = 4096;

impl Store {
    /// How many records are prefetched at once: as many cache misses as a core can have outstanding, and few enough that the
    /// lines are still in the L1 cache when their records are applied.
    pub(crate) const PREFETCHED: usize = 32;

    /// Reads the memory that the next records are about. Changes nothing; reads the first [`Store::PREFETCHED`] records only.
    pub(crate) fn prefetch(&self, records: &[Record]) {
        if self.tasks.len() < MANY {
            return;
        }
        let mut seen = 0;
        let mut tasks: [Option<Ix<Task>>; 2 * Self::PREFETCHED] = [None; 2 * Self::PREFETCHED];
        for (record, pair) in records.iter().zip(tasks.chunks_exact_mut(2)) {
            let (subject, other) = tasks_of(&record.fact);
            pair[0] = self.index.get(subject);
            pair[1] = other.and_then(|other| self.index.get(other));
        }
        let mut groups = [None; 2 * Self::PREFETCHED];
        for (task, group) in tasks.iter().zip(&mut groups) {
            let Some(task) = *task else { continue };
            let task = &self.tasks[task];
            *group = task.group.map(|group| (group, task.first_child));
            seen ^= task.since.0 ^ u64::from(task.vtid);
        }
        for &(group, child) in groups.iter().flatten() {
            let members = &self.groups[group];
            seen ^= members.start.0 ^ u64::from(members.facts);
            if let Some(debt) = members.debt {
                let account = &self.debts[debt];
                seen ^= account.debt.forked;
                if let Some(sum) = account.reaped {
                    let total = &self.sums[sum];
                    seen ^= total.sum.exec_runtime_ns ^ total.unknown;
                }
            }
            if let Some(child) = child {
                seen ^= self.groups[child].parent_start.0;
            }
        }
        black_box(seen);
    }
}

/// Returns the task that a record is about, and the other task that it changes most, if any.
const fn tasks_of(fact: &Fact) -> (Tid, Option<Tid>) {
    match fact {
        Fact::New(new) => (new.task.key.tid, tid(new.parent)),
        Fact::CloneFailed(failed) => match failed.creator {
            Some(creator) => (creator.key.tid, None),
            None => (Tid(0), None),
        },
        Fact::Exec(exec) => (exec.task.key.tid, exec.old_tid),
        Fact::ExecArgs(args) => (args.task.key.tid, None),
        Fact::Renamed(renamed) => (renamed.task.key.tid, None),
        Fact::Exiting(exiting) => (exiting.task.key.tid, None),
        Fact::Exited(exited) => (exited.task.key.tid, tid(exited.parent)),
        Fact::Reparented(reparented) => (reparented.child.key.tid, Some(reparented.new_parent.key.tid)),
        Fact::Released(released) => (released.task.key.tid, tid(released.by)),
        Fact::Snapshot(seen) => (seen.task.key.tid, tid(seen.parent)),
        Fact::CgroupAttached(attached) => (attached.task.key.tid, None),
        Fact::Signal(sent) => (sent.target.key.tid, tid(sent.sender)),
        Fact::OomVictim(oom) => (oom.tid, None),
        Fact::CgroupChanged(changed) => match changed.actor {
            Some(actor) => (actor.key.tid, None),
            None => (Tid(0), None),
        },
    }
}

const fn tid(task: Option<crate::model::id::TaskRef>) -> Option<Tid> {
    match task {
        Some(task) => Some(task.key.tid),
        None => None,
    }
}
