//! What tasks had used at their death, until the record of their last switch has the final figures.
//!
//! The last switch follows within microseconds, so at any time there are about as many entries as CPUs: a short list needs
//! less memory than a field in each task. The list is bounded, because records of last switches can be lost.
#![cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, clippy::indexing_slicing, reason = "two lists that change together")
)]

use crate::model::record::TaskUsage;
use crate::model::task::TaskKind;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// The most entries; many more than CPUs, so that only losses reach this limit.
const MOST: usize = 256;

/// Usage in the record of a task's death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageAtDeath {
    pub(crate) kind: TaskKind,
    pub(crate) usage: TaskUsage,
}

/// The list, newest last.
#[derive(Debug, Default)]
pub(crate) struct AwaitingLastSwitch {
    tasks: Vec<Ix<Task>>,
    figures: Vec<UsageAtDeath>,
}

impl AwaitingLastSwitch {
    fn position(&self, task: Ix<Task>) -> Option<usize> {
        // Search from the end: the newest entry is the most likely one.
        self.tasks.iter().rposition(|&other| other == task)
    }

    /// Stores it, and returns what was stored for this task before.
    pub(crate) fn put(&mut self, task: Ix<Task>, early: UsageAtDeath) -> Option<TaskUsage> {
        if let Some(place) = self.position(task) {
            return Some(std::mem::replace(&mut self.figures[place], early).usage);
        }
        self.tasks.push(task);
        self.figures.push(early);
        None
    }

    /// Removes and returns the entry of a task.
    pub(crate) fn take(&mut self, task: Ix<Task>) -> Option<UsageAtDeath> {
        let place = self.position(task)?;
        self.tasks.remove(place);
        Some(self.figures.remove(place))
    }

    /// Removes and returns the oldest entry if the list is full.
    pub(crate) fn make_room(&mut self) -> Option<(Ix<Task>, UsageAtDeath)> {
        (self.tasks.len() >= MOST).then(|| (self.tasks.remove(0), self.figures.remove(0)))
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.tasks.capacity() * size_of::<Ix<Task>>() + self.figures.capacity() * size_of::<UsageAtDeath>()
    }
}
