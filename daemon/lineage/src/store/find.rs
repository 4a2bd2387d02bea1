//! Finds the slot of a task.

use crate::model::id::{TaskKey, Tid};
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Store {
    /// Returns the task with this identity, tombstones included.
    pub(crate) fn find(&self, key: TaskKey) -> Option<Ix<Task>> {
        let mut next = self.index.get(key.tid);
        while let Some(ix) = next {
            let task = &self.tasks[ix];
            if task.key.start == key.start && task.knows(known::START) {
                return Some(ix);
            }
            next = task.same_tid;
        }
        None
    }

    /// Returns the task that has this tid now, as far as is known.
    pub(crate) fn find_current(&self, tid: Tid) -> Option<Ix<Task>> {
        self.index.get(tid).filter(|&ix| self.tasks[ix].state != TaskState::Released)
    }

    /// Whether a task leads its group.
    pub(crate) fn is_leader(&self, ix: Ix<Task>) -> bool {
        self.tasks[ix].group.is_some_and(|group| self.groups[group].leader == Some(ix))
    }

    /// Returns the newest task with this tid, tombstones included.
    pub(crate) fn newest(&self, tid: Tid) -> Option<Ix<Task>> {
        self.index.get(tid)
    }

    /// Returns the newest task of every tid, in the order of tids.
    pub(crate) fn newest_tasks(&self) -> impl Iterator<Item = Ix<Task>> {
        self.index.iter()
    }
}
