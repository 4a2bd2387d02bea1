//! Which slot a task is in.

use crate::model::id::{TaskKey, Tid};
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Store {
    /// The task with this identity, dead ones that are still remembered among them.
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

    /// The task that has this tid now, as far as is known.
    pub(crate) fn find_current(&self, tid: Tid) -> Option<Ix<Task>> {
        self.index.get(tid).filter(|&ix| self.tasks[ix].state != TaskState::Released)
    }

    /// Whether a task leads its group.
    pub(crate) fn is_leader(&self, ix: Ix<Task>) -> bool {
        self.tasks[ix].group.is_some_and(|group| self.groups[group].leader == Some(ix))
    }

    /// The newest task that has or had this tid, a released one included.
    pub(crate) fn newest(&self, tid: Tid) -> Option<Ix<Task>> {
        self.index.get(tid)
    }

    /// The newest task of every tid, in the order of tids.
    pub(crate) fn newest_tasks(&self) -> impl Iterator<Item = Ix<Task>> {
        self.index.iter()
    }
}
