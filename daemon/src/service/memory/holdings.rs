//! What the daemon's memory is used for.

use serde::{Deserialize, Serialize};

use crate::{lineage::Lineage, service::readers::Readers};

/// A number of objects of one kind, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The number of objects.
    pub count: u64,
    /// Bytes held.
    pub bytes: u64,
}

impl Holding {
    fn new(count: usize, bytes: usize) -> Self {
        Self { count: count as u64, bytes: bytes as u64 }
    }
}

/// What the daemon's memory is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Tasks that live, with their processes.
    pub tasks: Holding,
    /// Tasks that are exiting, zombies, or released and kept for late records.
    pub dying: Holding,
    /// Slots of tasks that are gone, kept for reuse; not counted as objects.
    pub spare: Holding,
    /// Ended processes that are kept.
    pub lives: Holding,
    /// Events kept for readers that resume.
    pub backlog: Holding,
    /// Readers of events, and the events that wait for them.
    pub readers: Holding,
}

impl Holdings {
    /// Returns the present holdings.
    pub(in crate::service) fn of(lineage: &Lineage, readers: &Readers) -> Self {
        let memory = lineage.memory();
        let dying = lineage.dying_count();
        let tasks = lineage.task_count().saturating_sub(dying);
        Self {
            tasks: Holding::new(tasks, memory.live.saturating_sub(memory.dying + memory.spare)),
            dying: Holding::new(dying, memory.dying),
            spare: Holding::new(0, memory.spare),
            lives: Holding::new(lineage.remembered(), memory.dead),
            backlog: Holding::new(readers.backlog_len(), readers.backlog_bytes()),
            readers: Holding::new(readers.count(), readers.text_bytes()),
        }
    }

    /// Returns all holdings with their names in metrics and the API.
    pub(in crate::service) const fn named(&self) -> [(&'static str, Holding); 6] {
        [
            ("tasks", self.tasks),
            ("dying", self.dying),
            ("spare", self.spare),
            ("lives", self.lives),
            ("backlog", self.backlog),
            ("readers", self.readers),
        ]
    }
}
