//! What tasks had used when they were dead, until their last switch tells the rest.
//!
//! From one to the other is a matter of microseconds, so at any time these are about as many as there are CPUs: a short list, and no
//! field in each task. Where last switches are lost it has a bound.

use super::arena::Ix;
use super::record::Usage;
use super::task::Task;

/// Tasks waited for at most; many more than CPUs, so that only losses come to it.
const MOST: usize = 256;

/// The list, newest last.
#[derive(Debug, Default)]
pub(super) struct Earlies {
    tasks: Vec<Ix<Task>>,
    usages: Vec<Usage>,
}

impl Earlies {
    /// What a task had used when it was dead.
    pub(super) fn get(&self, task: Ix<Task>) -> Option<Usage> {
        self.place(task).and_then(|place| self.usages.get(place).copied())
    }

    fn place(&self, task: Ix<Task>) -> Option<usize> {
        // The last one is the likeliest.
        self.tasks.iter().rposition(|&other| other == task)
    }

    /// Remembers it. Gives back the task that is not waited for any more: there is no room for it.
    pub(super) fn put(&mut self, task: Ix<Task>, usage: Usage) -> Option<Ix<Task>> {
        if let Some(place) = self.place(task) {
            self.usages[place] = usage;
            return None;
        }
        let given_up = (self.tasks.len() >= MOST).then(|| {
            self.usages.remove(0);
            self.tasks.remove(0)
        });
        self.tasks.push(task);
        self.usages.push(usage);
        given_up
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, task: Ix<Task>) {
        if let Some(place) = self.place(task) {
            self.tasks.remove(place);
            self.usages.remove(place);
        }
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.tasks.capacity() * size_of::<Ix<Task>>() + self.usages.capacity() * size_of::<Usage>()
    }
}
