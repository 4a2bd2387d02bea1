//! Queues of tasks, linked through the tasks, each in the order of [`Task::since`]. A tick reads them from the front.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "an enum as the index of an array of that length")
)]

use crate::store::Store;
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::{Arena, Ix};

/// Ends of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) first: Option<Ix<Task>>,
    pub(crate) last: Option<Ix<Task>>,
    pub(crate) len: usize,
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    ends: [Ends; 8],
}

/// The most places that a task is moved towards the front because its record is late. A task that should move further is handled by
/// a later tick.
const REORDER: usize = 32;

const fn number(queue: Queue) -> Option<usize> {
    match queue {
        Queue::None => None,
        Queue::Exiting => Some(0),
        Queue::Candidate => Some(1),
        Queue::Zombie => Some(2),
        Queue::Flagged => Some(3),
        Queue::Dead => Some(4),
        Queue::Tombstone => Some(5),
        Queue::Stuck => Some(6),
        Queue::Unconfirmed => Some(7),
    }
}

impl Queues {
    pub(crate) fn ends(&self, queue: Queue) -> Ends {
        number(queue).map_or_else(Ends::default, |n| self.ends[n])
    }

    /// Moves a task from its queue to `queue`.
    pub(crate) fn put(&mut self, tasks: &mut Arena<Task>, ix: Ix<Task>, queue: Queue) {
        self.take(tasks, ix);
        let Some(ends) = number(queue).map(|n| &mut self.ends[n]) else { return };
        let since = tasks[ix].since;
        let mut prev = ends.last;
        for _ in 0..REORDER {
            match prev {
                Some(p) if tasks[p].since > since => prev = tasks[p].queue_prev,
                _ => break,
            }
        }
        let next = match prev {
            Some(p) => tasks[p].queue_next,
            None => ends.first,
        };
        match prev {
            Some(p) => tasks[p].queue_next = Some(ix),
            None => ends.first = Some(ix),
        }
        match next {
            Some(n) => tasks[n].queue_prev = Some(ix),
            None => ends.last = Some(ix),
        }
        ends.len += 1;
        let task = &mut tasks[ix];
        task.queue = queue;
        task.queue_prev = prev;
        task.queue_next = next;
    }

    /// Removes a task from its queue.
    pub(crate) fn take(&mut self, tasks: &mut Arena<Task>, ix: Ix<Task>) {
        let task = &mut tasks[ix];
        let (prev, next) = (task.queue_prev.take(), task.queue_next.take());
        let queue = std::mem::take(&mut task.queue);
        let Some(ends) = number(queue).map(|n| &mut self.ends[n]) else { return };
        match prev {
            Some(p) => tasks[p].queue_next = next,
            None => ends.first = next,
        }
        match next {
            Some(n) => tasks[n].queue_prev = prev,
            None => ends.last = prev,
        }
        ends.len -= 1;
    }
}

impl Store {
    /// Moves a task from the queue it is in to `queue`.
    pub(crate) fn enqueue(&mut self, ix: Ix<Task>, queue: Queue) {
        self.queues.put(&mut self.tasks, ix, queue);
    }

    /// Removes a task from its queue.
    pub(crate) fn dequeue(&mut self, ix: Ix<Task>) {
        self.queues.take(&mut self.tasks, ix);
    }

    /// Returns the first and last task of a queue, and its length.
    pub(crate) fn queue_ends(&self, queue: Queue) -> Ends {
        self.queues.ends(queue)
    }
}
