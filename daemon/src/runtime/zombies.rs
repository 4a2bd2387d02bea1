//! Zombies of the tree, looked up in /proc: those that a loss has made uncertain, and those that have been zombies for a while. Where a
//! release can go unseen they are looked up again and again: see `zombie_recheck`.

use std::time::Duration;

use super::{EventSink, Pipeline, Why};
use crate::{
    kernel::clock::boottime,
    lineage::id::{GroupKey, Ktime},
    procfs::Sight,
};

/// A zombie older than this is looked up in /proc, once, before it is flagged.
pub(super) const DOUBT_NS: u64 = 1_000_000_000;

/// How long unconfirmed zombies are looked up at a time: about two thousand of them. The next tick goes on.
pub(super) const LOOK_UP_FOR: Duration = Duration::from_millis(20);

/// So many are looked up between two looks at the clock.
pub(super) const LOOK_UPS: usize = 64;

impl Pipeline {
    /// After a loss: zombies that /proc shows are confirmed. Answers the others. It does not wait for the comparison of all tasks, because
    /// it takes 11 us a zombie. No record is handled meanwhile: a zombie that it would bring is not confirmed.
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
                // Nothing was learned, of this one or of any other: they are looked up when /proc can be read again.
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
        // A release whose record is under way is not lost.
        self.catch_up(sink);
        let before = *self.lineage.stats();
        for key in gone {
            self.lineage.end_unconfirmed_zombie(key, boottime(), &mut self.effects);
        }
        self.mending.repair(&before, self.lineage.stats());
        self.hand_on(sink);
    }

    /// Zombies that the kernel does not have any more were released unseen: the tree is mended then, before anybody is
    /// told of a zombie that is none. Each zombie is looked up once, or again and again where its release may be hidden.
    pub(super) fn doubt_zombies(&mut self, sink: &mut impl EventSink) {
        if self.releases_by_tracepoint() {
            return;
        }
        if !self.hidden.is_empty() {
            let (gone, _) = self.look_up_in_turn();
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
        log::debug!("a zombie is gone that nobody was seen to release; reading all tasks");
        let failed = self.mending.failed;
        self.resync(Why::Doubt, sink);
        // One that the kernel itself still shows is hidden from us in /proc: asking again would not help.
        if self.mending.failed == failed && self.hidden.is_empty() {
            self.confirmed.extend(gone);
        }
    }
}

/// Whether so much time is gone.
pub(super) fn is_over(begun: Ktime, allowed: Duration) -> bool {
    u128::from(boottime().since(begun)) >= allowed.as_nanos()
}
