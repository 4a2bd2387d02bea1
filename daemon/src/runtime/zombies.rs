//! Looks up zombies of the tree in /proc: those that are uncertain since a loss, and those that have been zombies for a while.
//! Where a release may not be seen, they are looked up repeatedly: see `recheck`.

mod orphans;
pub(super) mod recheck;

use std::time::Duration;

use super::{EventSink, Pipeline, Why};
use crate::{
    kernel::clock::boottime,
    lineage::id::{GroupKey, Ktime},
    procfs::Sight,
};

/// A zombie older than this is looked up in /proc once before it is flagged.
pub(super) const DOUBT_NS: u64 = 1_000_000_000;

/// The longest time for looking up unconfirmed zombies, which is enough for about two thousand. The next tick continues.
pub(super) const LOOK_UP_FOR: Duration = Duration::from_millis(20);

/// The number of zombies that are looked up between two readings of the clock.
pub(super) const LOOK_UPS: usize = 64;

impl Pipeline {
    /// After a loss, confirms the zombies that /proc shows and returns those that it does not show. This takes 11 us for each
    /// zombie, so it does not wait for the comparison of all tasks. It handles no records, so a zombie whose record is in flight is
    /// not confirmed.
    pub(super) fn confirm_zombies(&mut self) -> Vec<GroupKey> {
        if self.lineage.unconfirmed_count() == 0 || self.procfs.sight() != Sight::All {
            return Vec::new();
        }
        let begun = boottime();
        let (mut there, mut gone): (Vec<GroupKey>, Vec<GroupKey>) = (Vec::new(), Vec::new());
        for (turn, zombie) in self.lineage.unconfirmed_zombies().enumerate() {
            let key = zombie.key();
            let Some(start) = key.start else { continue };
            match self.procfs.is_still_zombie(key.tgid, start) {
                Ok(true) => there.push(key),
                Ok(false) => gone.push(key),
                // The error says nothing about the zombie. All remaining zombies are looked up once /proc can be read again.
                Err(error) => {
                    log::debug!("looking up a zombie: {error}");
                    break;
                }
            }
            if turn % LOOK_UPS == LOOK_UPS - 1 && is_over(begun, LOOK_UP_FOR) {
                break;
            }
        }
        for key in there {
            self.lineage.confirm_zombie(key);
        }
        gone
    }

    /// Ends the unconfirmed zombies that /proc does not have.
    pub(super) fn end_gone_zombies(&mut self, sink: &mut impl EventSink) {
        let gone = self.confirm_zombies();
        if gone.is_empty() {
            return;
        }
        // A release whose record is in flight is not lost.
        self.catch_up(sink);
        let before = *self.lineage.stats();
        for key in gone {
            self.lineage.end_unconfirmed_zombie(key, boottime(), &mut self.effects);
        }
        self.repairs.repair(&before, self.lineage.stats());
        self.deliver(sink);
    }

    /// Repairs zombies that the kernel does not have any more: their release was not seen. This happens before any answer or flag
    /// shows them. Each zombie is looked up once, or repeatedly where its release may be hidden.
    pub(super) fn doubt_zombies(&mut self, sink: &mut impl EventSink) {
        if self.releases_by_tracepoint() {
            return;
        }
        if !self.hidden.is_empty() {
            let (gone, _) = self.recheck_in_turn(0);
            if !gone.is_empty() {
                self.resync_for_gone(gone, sink);
            }
            return;
        }
        let now = boottime();
        self.confirmed.retain(|key| self.lineage.group(key.tgid).is_some_and(|group| group.key() == *key));
        let mut gone = Vec::new();
        for zombie in self.lineage.zombies() {
            let key = zombie.key();
            let (Some(start), Some(since)) = (key.start, zombie.zombie_since()) else { continue };
            if now.since(since) < self.doubt_ns || self.confirmed.contains(&key) {
                continue;
            }
            match self.procfs.is_still_zombie(key.tgid, start) {
                Ok(true) => drop(self.confirmed.insert(key)),
                Ok(false) => gone.push(key),
                Err(error) => {
                    log::debug!("looking up a zombie: {error}");
                    break;
                }
            }
        }
        if !gone.is_empty() {
            self.resync_for_gone(gone, sink);
        }
    }

    fn resync_for_gone(&mut self, gone: Vec<GroupKey>, sink: &mut impl EventSink) {
        log::debug!("a zombie is gone and no record shows its release; reading all tasks");
        let failed = self.repairs.failed;
        self.resync(Why::Doubt, sink);
        // The kernel's iterator still shows this zombie and /proc does not, so another look-up would not help.
        if self.repairs.failed == failed && self.hidden.is_empty() {
            self.confirmed.extend(gone);
        }
    }
}

/// Returns whether the time is used up.
pub(super) fn is_over(begun: Ktime, allowed: Duration) -> bool {
    u128::from(boottime().since(begun)) >= allowed.as_nanos()
}
