//! Looks up zombies in /proc repeatedly where hooks report releases late or not at all.
//!
//! A tracepoint reports a release at its RCU callback, a grace period late. If the kernel hides tasks, it does not report a
//! callback that runs on top of one. Until the report, a zombie that was reaped looks like an unreaped one. /proc shows the
//! difference: a zombie that it does not show any more is `dead`, and the daemon does not count or flag it, nor add it to its
//! parent's zombies.

use std::{collections::HashSet, time::Duration};

use super::{LOOK_UP_FOR, LOOK_UPS, is_over};
use crate::{
    kernel::{clock::boottime, hooks::Family},
    lineage::id::{GroupKey, Ktime},
    procfs::Sight,
    runtime::{EventSink, Pipeline},
};

/// The longest time for looking up zombies before an answer, enough for about ten thousand. Records are handled in between.
const BEFORE_ANSWER: Duration = Duration::from_millis(100);

/// A tick looks up zombies older than this: the grace period after a release is over by then, and its record has come if it comes
/// at all.
const AFTER_GRACE_PERIOD_NS: u64 = 200_000_000;

/// The position at which the next look-up starts.
#[derive(Debug, Default)]
pub(in crate::runtime) struct ZombieRecheck {
    /// The zombie that was looked up last; `None` if it was the last in the list.
    last: Option<GroupKey>,
    /// Until this time, answers use what was found for the last answer.
    answers_back_off_until: Ktime,
}

impl Pipeline {
    /// Whether only RCU callbacks report releases.
    pub(super) fn releases_by_tracepoint(&self) -> bool {
        self.observer
            .hooks
            .iter()
            .any(|hook| hook.hook == "release_task" && hook.family == Some(Family::Tracepoint))
    }

    /// Looks up zombies that are at least `age_ns` old, from where the last call stopped. Returns those that /proc does not show, and
    /// whether the end of the list was reached.
    pub(super) fn recheck_in_turn(&mut self, age_ns: u64) -> (Vec<GroupKey>, bool) {
        let begun = boottime();
        let mut gone = Vec::new();
        let mut last = self.recheck.last;
        for (turn, zombie) in self.lineage.zombies_after(last).enumerate() {
            let key = zombie.key();
            last = Some(key);
            let Some(start) = key.start else { continue };
            if zombie.zombie_since().is_some_and(|since| begun.since(since) < age_ns) {
                continue;
            }
            match self.procfs.is_still_zombie(key.tgid, start) {
                Ok(true) => {}
                Ok(false) => gone.push(key),
                // The error says nothing about this zombie or any other.
                Err(error) => {
                    log::debug!("looking up a zombie: {error}");
                    break;
                }
            }
            if turn % LOOK_UPS == LOOK_UPS - 1 && is_over(begun, LOOK_UP_FOR) {
                self.recheck.last = last;
                return (gone, false);
            }
        }
        self.recheck.last = None;
        (gone, true)
    }

    /// Ends zombies that /proc does not show any more and whose release has not been reported after a grace period, if tracepoints
    /// report releases.
    pub(in crate::runtime) fn end_reaped_zombies_in_tick(&mut self, sink: &mut impl EventSink) {
        self.end_reaped_zombies(AFTER_GRACE_PERIOD_NS, sink);
    }

    /// Ends zombies of that age that /proc does not show any more, if tracepoints report releases. Returns whether the end of the
    /// list was reached.
    fn end_reaped_zombies(&mut self, age_ns: u64, sink: &mut impl EventSink) -> bool {
        // Most hosts have no zombie, and this is called four times a second.
        if self.lineage.zombies_after(None).next().is_none() {
            self.recheck.last = None;
            return true;
        }
        if !self.releases_by_tracepoint() || self.procfs.sight() != Sight::All {
            return true;
        }
        let (gone, is_whole) = self.recheck_in_turn(age_ns);
        self.end_reaped(&gone, sink);
        is_whole
    }

    fn end_reaped(&mut self, gone: &[GroupKey], sink: &mut impl EventSink) {
        if gone.is_empty() {
            return;
        }
        // The record of a release in flight has more facts.
        self.catch_up(sink);
        for &key in gone {
            self.lineage.end_reaped_zombie(key, boottime(), &mut self.effects);
        }
        self.deliver(sink);
    }

    /// Ends zombies that /proc does not show any more, before an answer: as many as can be looked up within [`BEFORE_ANSWER`].
    pub(in crate::runtime) fn end_reaped_before_answer(&mut self, sink: &mut impl EventSink) {
        let begun = boottime();
        if begun < self.recheck.answers_back_off_until {
            return;
        }
        // A look-up that starts in the middle runs to the end, and then once from the start.
        let mut rounds = if self.recheck.last.is_some() { 2 } else { 1 };
        while !is_over(begun, BEFORE_ANSWER) {
            if self.end_reaped_zombies(0, sink) {
                rounds -= 1;
                if rounds == 0 {
                    break;
                }
            }
            // Handle records so that the ring does not fill up.
            self.catch_up(sink);
        }
        // The back-off is as long as the look-ups took, so these take at most half of the time, however many questions come.
        let now = boottime();
        self.recheck.answers_back_off_until = Ktime(now.0 + now.since(begun));
    }

    /// Returns how many zombies the next tick of the lineage may flag: those that are due and that /proc shows. If hooks report
    /// releases when they begin, and no task is hidden, no look-up is needed.
    pub(in crate::runtime) fn zombies_to_flag(&mut self, now: Ktime, sink: &mut impl EventSink) -> usize {
        let can_miss = self.releases_by_tracepoint() || !self.hidden.is_empty();
        let is_due = self.lineage.zombies_due(now).next().is_some();
        if !can_miss || !is_due || self.procfs.sight() != Sight::All {
            return usize::MAX;
        }
        let begun = boottime();
        let (mut there, mut gone) = (HashSet::new(), Vec::new());
        for (turn, zombie) in self.lineage.zombies_due(now).enumerate() {
            let key = zombie.key();
            // Without a start time it cannot be distinguished from another process with its pid.
            match key.start.map(|start| self.procfs.is_still_zombie(key.tgid, start)) {
                Some(Ok(false)) => gone.push(key),
                None | Some(Ok(true)) => drop(there.insert(key)),
                Some(Err(error)) => {
                    log::debug!("looking up a zombie: {error}");
                    return usize::MAX;
                }
            }
            if turn % LOOK_UPS == LOOK_UPS - 1 && is_over(begun, LOOK_UP_FOR) {
                break;
            }
        }
        if self.releases_by_tracepoint() {
            self.end_reaped(&gone, sink);
        }
        // Only zombies before the first one that /proc does not show are flagged; that one may have to be repaired first.
        self.lineage.zombies_due(now).take_while(|zombie| there.contains(&zombie.key())).count()
    }
}
