//! Finds tasks that stay in uninterruptible sleep. No hook reports a sleep that does not end, so tasks are polled: the tasks that
//! the program on `sched_switch` has noted, or all tasks if it may have missed some.

use std::collections::HashMap;

use super::{EventSink, Pipeline};
use crate::{
    duration,
    kernel::{
        clock::{boottime, thread_cpu_ns},
        figures::{FiguresError, Want},
    },
    lineage::{figures::TaskFigures, id::Ktime},
    recording::Entry,
};

/// Polls per threshold. The second poll that finds the task asleep for long enough flags it, so the flag comes up to two polls late.
const POLLS: u32 = 4;

/// A poll that walks over all tasks takes long. The next one comes at the earliest after this many times its CPU time, so that all polls
/// together take at most a hundredth of one CPU.
const POLL_COST_DIVISOR: u64 = 100;

/// Polls happen at ticks. A poll that is due within half a tick happens at once instead of a whole tick later.
const SLACK_NS: u64 = 125_000_000;

/// The most polls of noted tasks between two walks over all tasks. A walk finds tasks that were not noted for any reason.
const POLLS_PER_WALK: u32 = 40;

/// The last poll.
#[derive(Debug, Default)]
pub(super) struct LastPoll {
    at: Ktime,
    cpu_ns: u64,
    /// Polls until the next walk.
    until_walk: u32,
    /// Calls of programs that the kernel had skipped, and how often hooks had been attached again, at the last walk.
    unnoted: (u64, u64),
    /// Whether a walk has found the tasks that were asleep before the programs were attached.
    walked: bool,
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
        let outcome = self.find_blocked();
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
        self.lineage.note_asleep(now, &asleep);
        let overdue = self.blocked.poll(&self.lineage, now, &asleep, &mut self.effects);
        if !overdue.is_empty() {
            let mut stacks = self.observer.stacks(Want::Blocked).unwrap_or_else(|reason| {
                log::warn!("reading the kernel stacks of tasks in uninterruptible sleep: {reason}");
                HashMap::default()
            });
            for of in overdue {
                let stack = stacks.remove(&of.task).unwrap_or_default();
                self.lineage.note(|| Entry::Overdue(now, of.task, stack.clone()));
                self.blocked.flag(&self.lineage, now, of, stack, &mut self.effects);
            }
        }
        self.deliver(sink);
    }

    /// Reads the tasks in uninterruptible sleep, for an answer. It walks over all tasks only if the programs may not have noted every
    /// sleeping task.
    pub fn asleep(&mut self) -> Result<Vec<TaskFigures>, FiguresError> {
        let noted = self.last_poll.walked && self.last_poll.unnoted == (self.counts.missed, self.reattached);
        match noted.then(|| self.noted_sleepers()).flatten() {
            Some(asleep) => Ok(asleep),
            None => self.walk_for_sleepers(),
        }
    }

    /// Finds the tasks in uninterruptible sleep by a walk over all tasks, which also adds them to those that are noted.
    fn walk_for_sleepers(&mut self) -> Result<Vec<TaskFigures>, FiguresError> {
        let found = self.observer.figures(Want::Blocked);
        if found.is_err() {
            // Reading the noted tasks has cleared the mark that one may be missing.
            self.distrust_noted();
        }
        found
    }

    /// Lets the next poll or answer walk over all tasks.
    pub(super) fn distrust_noted(&mut self) {
        (self.last_poll.walked, self.last_poll.until_walk) = (false, 0);
    }

    /// Reads the tasks in uninterruptible sleep.
    fn find_blocked(&mut self) -> Result<Vec<TaskFigures>, String> {
        let unnoted = (self.counts.missed, self.reattached);
        if let Some(polls) = self.last_poll.until_walk.checked_sub(1)
            && unnoted == self.last_poll.unnoted
            && let Some(asleep) = self.noted_sleepers()
        {
            self.last_poll.until_walk = polls;
            return Ok(asleep);
        }
        log::debug!("walking over all tasks to find those in uninterruptible sleep");
        // The walk also finds tasks that the program has not noted.
        let asleep = self.walk_for_sleepers().map_err(|error| error.to_string())?;
        (self.last_poll.until_walk, self.last_poll.unnoted) = (POLLS_PER_WALK, unnoted);
        self.last_poll.walked = true;
        Ok(asleep)
    }

    /// Returns the noted tasks that are asleep; `None` if one may be missing, or if they cannot be read: then a walk finds all.
    fn noted_sleepers(&self) -> Option<Vec<TaskFigures>> {
        self.observer.sleepers().unwrap_or_else(|error| {
            log::debug!("tasks that were noted in uninterruptible sleep cannot be read: {error}");
            None
        })
    }

    /// Clears all flags because polling is not possible: otherwise readers would wait for the end of each flagged sleep for ever.
    fn forget_blocked(&mut self, now: Ktime, sink: &mut impl EventSink) {
        // No poll walks from now on.
        self.distrust_noted();
        self.lineage.note_asleep(now, &[]);
        self.blocked.poll(&self.lineage, now, &[], &mut self.effects);
        self.deliver(sink);
    }
}
