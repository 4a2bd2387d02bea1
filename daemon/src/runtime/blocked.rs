//! Looks for tasks that stay in uninterruptible sleep. No hook tells of a sleep that does not end: somebody has to look.

use std::{collections::HashMap, time::Duration};

use super::{Face, Pipeline};
use crate::{
    kernel::{clock::boottime, figures::Want},
    lineage::id::Ktime,
};

/// Looks that a sleep of the threshold's length falls into: it is flagged at most two of these late.
const LOOKS: u32 = 4;

/// A look walks over all tasks. The next one comes this many times its duration later at the earliest, so that all of them
/// together take a hundredth of one CPU at most.
const REST: u64 = 100;

impl Pipeline {
    /// Looks for tasks that have slept for too long, where that is due.
    pub(super) fn look_for_blocked(&mut self, face: &mut impl Face) {
        let now = boottime();
        if self.lineage.blocked_after().is_zero() || !self.trust.iterator || now < self.blocked_look_due {
            return;
        }
        let outcome = self.observer.figures(Want::Blocked);
        let duration = boottime().since(now);
        let every = self.lineage.blocked_after() / LOOKS;
        let rest = Duration::from_nanos(REST * duration).max(every);
        self.blocked_look_due = Ktime(now.0 + rest.as_nanos() as u64);
        let asleep = match outcome {
            Ok(asleep) => asleep,
            Err(reason) => {
                if !std::mem::replace(&mut self.told_no_figures, true) {
                    log::warn!("tasks in uninterruptible sleep are not looked for: {reason}");
                }
                return;
            }
        };
        // A task that the tree has yet to learn of is known after this.
        self.catch_up(face);
        let overdue = self.blocked.look(&self.lineage, now, &asleep, &mut self.effects);
        if !overdue.is_empty() {
            let mut stacks = self.observer.stacks(Want::Blocked).unwrap_or_else(|reason| {
                log::warn!("reading the kernel stacks of tasks in uninterruptible sleep: {reason}");
                HashMap::default()
            });
            for of in overdue {
                let stack = stacks.remove(&of.task).unwrap_or_default();
                self.blocked.flag(&self.lineage, now, of, stack, &mut self.effects);
            }
        }
        self.hand_on(face);
    }
}
