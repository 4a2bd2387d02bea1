//! Finds tasks that stay in uninterruptible sleep. No hook reports a sleep that does not end, so all tasks are polled.

use std::collections::HashMap;

use super::{EventSink, Pipeline};
use crate::{
    duration,
    kernel::{
        clock::{boottime, thread_cpu_ns},
        figures::Want,
    },
    lineage::id::Ktime,
};

/// How many polls are made in the time of the threshold. The second poll that finds the task asleep for long enough flags it, so
/// the flag comes up to two polls late.
const POLLS: u32 = 4;

/// A poll walks over all tasks. The next one comes at the earliest after this many times its CPU time, so that all polls together
/// take at most a hundredth of one CPU.
const POLL_COST_DIVISOR: u64 = 100;

/// Polls are made at ticks: a poll that is due within half a tick is not put off by a whole one.
const SLACK_NS: u64 = 125_000_000;

/// The last poll.
#[derive(Debug, Default)]
pub(super) struct LastPoll {
    at: Ktime,
    cpu_ns: u64,
    /// Whether the log already says that polling is not possible.
    reported: bool,
}

impl Pipeline {
    /// Polls for tasks that have slept for too long, if a poll is due.
    pub(super) fn poll_blocked(&mut self, sink: &mut impl EventSink) {
        let now = boottime();
        let after = self.lineage.blocked_after();
        if after.is_zero() || !self.trust.iterator {
            return self.forget_blocked(now, sink);
        }
        let every = duration::ns(after / POLLS);
        let interval = every.max(POLL_COST_DIVISOR * self.last_poll.cpu_ns);
        if now.since(self.last_poll.at).saturating_add(SLACK_NS) < interval {
            return;
        }
        let cpu_ns = thread_cpu_ns();
        let outcome = self.observer.figures(Want::Blocked);
        self.last_poll.at = now;
        self.last_poll.cpu_ns = thread_cpu_ns().saturating_sub(cpu_ns);
        let asleep = match outcome {
            Ok(asleep) => asleep,
            Err(reason) => {
                if !std::mem::replace(&mut self.last_poll.reported, true) {
                    log::warn!("polling for tasks in uninterruptible sleep is not possible: {reason}");
                }
                return self.forget_blocked(now, sink);
            }
        };
        // The lineage then knows tasks whose records were still in the ring.
        self.catch_up(sink);
        let overdue = self.blocked.poll(&self.lineage, now, &asleep, &mut self.effects);
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
        self.deliver(sink);
    }

    /// Polling stops: all flags are cleared, so that no reader waits for the end of a sleep.
    fn forget_blocked(&mut self, now: Ktime, sink: &mut impl EventSink) {
        self.blocked.poll(&self.lineage, now, &[], &mut self.effects);
        self.deliver(sink);
    }
}
