//! Zombies that are looked up in /proc again and again, because their release can be seen late or never.
//!
//! By tracepoint a release is seen at its RCU callback, a grace period late; where the kernel hides tasks, a callback that runs on
//! top of one is not seen at all. Until then a zombie that was reaped looks like one that waits. /proc tells which it is: a zombie that
//! it does not have any more is `dead` and waits for its release; it is not counted, flagged or charged to its parent.

use std::{collections::HashSet, time::Duration};

use super::{LOOK_UP_FOR, LOOK_UPS, is_over};
use crate::{
    kernel::{clock::boottime, hooks::Family},
    lineage::id::{GroupKey, Ktime},
    procfs::Sight,
    runtime::{EventSink, Pipeline},
};

/// How long zombies are looked up before an answer, in pieces between which records are handled: some ten thousand of them.
const BEFORE_ANSWER: Duration = Duration::from_millis(100);

/// Where the looking up goes on.
#[derive(Debug, Default)]
pub(in crate::runtime) struct ZombieRecheck {
    /// The zombie that was looked up last; `None` once that was the last of all.
    last: Option<GroupKey>,
    /// Before this moment what was found for the last answer is good enough for the next.
    answers_back_off_until: Ktime,
}

impl Pipeline {
    /// Whether releases are seen by the RCU callback only.
    pub(super) fn releases_by_tracepoint(&self) -> bool {
        self.observer
            .hooks
            .iter()
            .any(|hook| hook.hook == "release_task" && hook.family == Some(Family::Tracepoint))
    }

    /// Looks zombies up, from where it stopped the last time. Answers those that /proc does not have, and whether the last of all was
    /// looked up.
    pub(super) fn look_up_in_turn(&mut self) -> (Vec<GroupKey>, bool) {
        let begun = boottime();
        let mut gone = Vec::new();
        let mut last = self.recheck.last;
        for (turn, zombie) in self.lineage.zombies_after(last).enumerate() {
            let key = zombie.key();
            last = Some(key);
            let Some(start) = key.start else { continue };
            match self.procfs.is_still_zombie(key.tgid, start) {
                Ok(true) => {}
                Ok(false) => gone.push(key),
                // Nothing was learned, of this one or of any other.
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

    /// Ends zombies that were reaped, as /proc shows, where their release is seen by tracepoint. Answers whether the last of all was
    /// looked up.
    pub(in crate::runtime) fn end_reaped_zombies(&mut self, sink: &mut impl EventSink) -> bool {
        if !self.releases_by_tracepoint() || self.procfs.sight() != Sight::All {
            return true;
        }
        let (gone, is_whole) = self.look_up_in_turn();
        self.end_reaped(&gone, sink);
        is_whole
    }

    fn end_reaped(&mut self, gone: &[GroupKey], sink: &mut impl EventSink) {
        if gone.is_empty() {
            return;
        }
        // A release whose record is under way says more.
        self.catch_up(sink);
        for &key in gone {
            self.lineage.end_reaped_zombie(key, boottime(), &mut self.effects);
        }
        self.hand_on(sink);
    }

    /// The same before an answer: of all zombies, as far as the time allows.
    pub(in crate::runtime) fn end_reaped_before_answer(&mut self, sink: &mut impl EventSink) {
        let begun = boottime();
        if begun < self.recheck.answers_back_off_until {
            return;
        }
        // From the middle: to the end, and once again from the first.
        let mut rounds = if self.recheck.last.is_some() { 2 } else { 1 };
        while !is_over(begun, BEFORE_ANSWER) {
            if self.end_reaped_zombies(sink) {
                rounds -= 1;
                if rounds == 0 {
                    break;
                }
            }
            // So that the ring does not fill up meanwhile.
            self.catch_up(sink);
        }
        // Half of the time at most, however often somebody asks.
        let now = boottime();
        self.recheck.answers_back_off_until = Ktime(now.0 + now.since(begun));
    }

    /// How many zombies the next tick of the lineage may flag: those that are due, and that /proc shows. Where releases are seen
    /// when they begin, and no task is hidden, the records are enough.
    pub(in crate::runtime) fn zombies_to_flag(&mut self, now: Ktime, sink: &mut impl EventSink) -> usize {
        let can_miss = self.releases_by_tracepoint() || !self.hidden.is_empty();
        if !can_miss || self.procfs.sight() != Sight::All {
            return usize::MAX;
        }
        let begun = boottime();
        let (mut there, mut gone) = (HashSet::new(), Vec::new());
        for (turn, zombie) in self.lineage.zombies_due(now).enumerate() {
            let key = zombie.key();
            // Without its start it cannot be reported from another with its pid.
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
        // The others wait for the next tick: what stands before them may have to be repaired first.
        self.lineage.zombies_due(now).take_while(|zombie| there.contains(&zombie.key())).count()
    }
}
