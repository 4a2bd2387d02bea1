//! What tasks had used when they were dead, until their last switch tells the rest.
//!
//! From one to the other is a matter of microseconds, so at any time these are about as many as there are CPUs: a short list, and no
//! field in each task. Where last switches are lost it has a bound.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "two lists that change together"))]

use crate::model::record::Usage;
use crate::model::task::TaskKind;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// Tasks waited for at most; many more than CPUs, so that only losses come to it.
const MOST: usize = 256;

/// What was told of a task's death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageAtDeath {
    pub(crate) kind: TaskKind,
    pub(crate) usage: Usage,
}

/// The list, newest last.
#[derive(Debug, Default)]
pub(crate) struct AwaitingLastSwitch {
    tasks: Vec<Ix<Task>>,
    figures: Vec<UsageAtDeath>,
}

impl AwaitingLastSwitch {
    fn position(&self, task: Ix<Task>) -> Option<usize> {
        // The last one is the likeliest.
        self.tasks.iter().rposition(|&other| other == task)
    }

    /// Remembers it, in place of what was remembered of this task before, which is given back.
    pub(crate) fn put(&mut self, task: Ix<Task>, early: UsageAtDeath) -> Option<Usage> {
        if let Some(place) = self.position(task) {
            return Some(std::mem::replace(&mut self.figures[place], early).usage);
        }
        self.tasks.push(task);
        self.figures.push(early);
        None
    }

    /// Gives back and forgets a task's.
    pub(crate) fn take(&mut self, task: Ix<Task>) -> Option<UsageAtDeath> {
        let place = self.position(task)?;
        self.tasks.remove(place);
        Some(self.figures.remove(place))
    }

    /// Gives back and forgets the oldest, if there is no room for another.
    pub(crate) fn make_room(&mut self) -> Option<(Ix<Task>, UsageAtDeath)> {
        (self.tasks.len() >= MOST).then(|| (self.tasks.remove(0), self.figures.remove(0)))
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.tasks.capacity() * size_of::<Ix<Task>>() + self.figures.capacity() * size_of::<UsageAtDeath>()
    }
}
