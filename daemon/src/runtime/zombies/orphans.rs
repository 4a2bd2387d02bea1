//! Looks up dead children of a parent that died in /proc, because no tracepoint shows whether the parent reaped them before.
//!
//! If /proc shows the child with its new parent, it was reparented, which settles the case at once. A child that /proc does not
//! show was reaped by the former parent or by the new one; its RCU callback shows by which.

use super::LOOK_UP_FOR;
use crate::{
    kernel::clock::boottime,
    lineage::id::{Ktime, TaskKey, Tgid},
    procfs::Stat,
    runtime::{EventSink, Pipeline, zombies::is_over},
};

impl Pipeline {
    /// Looks up the children whose reparenting became uncertain since the last call.
    pub(in crate::runtime) fn settle_new_orphans(&mut self, sink: &mut impl EventSink) {
        let opened = self.lineage.reparents_opened();
        let new = opened - std::mem::replace(&mut self.orphans_looked_up, opened);
        if new > 0 {
            self.settle(usize::try_from(new).unwrap_or(usize::MAX), sink);
        }
    }

    /// Looks up all children whose reparenting is uncertain.
    pub(in crate::runtime) fn settle_orphans(&mut self, sink: &mut impl EventSink) {
        self.settle(usize::MAX, sink);
    }

    /// Looks up the youngest `most` cases.
    fn settle(&mut self, most: usize, sink: &mut impl EventSink) {
        let begun = boottime();
        let mut shown: Vec<(TaskKey, Ktime, Stat)> = Vec::new();
        for (key, _) in self.lineage.doubtful().rev().take(most) {
            let at = boottime();
            match self.procfs.stat(Tgid(key.tid.0)) {
                Ok(Some(stat)) if is_present(&stat) && self.procfs.began(&stat, key.start) => {
                    shown.push((key, at, stat));
                }
                Ok(_) => {}
                Err(error) => log::debug!("looking up an orphan: {error}"),
            }
            if is_over(begun, LOOK_UP_FOR) {
                break;
            }
        }
        if shown.is_empty() {
            return;
        }
        // Records in flight are older than what was read.
        self.catch_up(sink);
        for (key, at, stat) in shown {
            let task = self.lineage.task(key.tid).map(|known| known.task).filter(|task| task.key == key);
            // Without this parent in the tree, the child would seem to have been reaped by the former one.
            let is_parent_known = self.lineage.task(Tgid(stat.ppid).leader()).is_some();
            if let Some(task) = task.filter(|_| is_parent_known) {
                let threads = usize::try_from(stat.num_threads).unwrap_or(usize::MAX);
                self.found(at, task, Some(key.start), threads, &stat);
            }
        }
        self.deliver(sink);
    }
}

/// Whether the kernel still has the task: one in state X is being released.
const fn is_present(stat: &Stat) -> bool {
    !matches!(stat.state, b'X' | b'x')
}
