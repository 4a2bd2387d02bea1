//! What is done four times a second: canaries, counters of the programs, and comparisons where there is a reason to.

use super::{Face, Pipeline, Why, sums::Skipped};
use crate::{
    failpoint,
    kernel::{clock::boottime, hooks::COPY_PROCESS_RETURN, observer::Observer},
};

/// Every how many ticks the kernel is asked for the calls it skipped: a system call for each program.
const TICKS_PER_LOOK: u64 = 4;

/// A zombie older than this is looked up in /proc, once, before it is flagged: on the tracepoint rung a release can go
/// unseen.
pub(super) const DOUBT_NS: u64 = 1_000_000_000;

impl Pipeline {
    pub(super) fn tick(&mut self, face: &mut impl Face) {
        failpoint::follow();
        self.canary.tick(boottime());
        if self.canary.take_alarm() {
            self.attach_again();
        }
        self.observer.flush_log();
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_LOOK) {
            self.look_for_misses();
        }
        self.look_for_losses(face);
        self.compare(face);
        self.look_for_blocked(face);
        // What has not come in time may stand in the ring, where the machine let nobody read it.
        let now = boottime();
        self.catch_up(face);
        self.lineage.tick(now, &mut self.effects);
        face.tick(&mut self.lineage);
    }

    /// Compares the tree with the kernel's tasks, if there is a reason to.
    fn compare(&mut self, face: &mut impl Face) {
        let now = boottime();
        let audit_ns = self.trust.audit_every.as_nanos();
        if now < self.rest_until {
            return;
        }
        if std::mem::take(&mut self.owes_resync) {
            self.resync(Why::Loss, face);
        } else if audit_ns > 0 && u128::from(now.since(self.resynced)) >= audit_ns {
            self.resync(Why::Audit, face);
        } else if self.ticks.is_multiple_of(2) {
            self.doubt_zombies(face);
        }
    }

    /// What the programs count. What is lost while that cannot be read is counted afterwards: the counters only grow.
    pub(super) fn look_for_losses(&mut self, face: &mut impl Face) {
        let totals = match self.observer.totals() {
            Ok(totals) => {
                if self.no_counters.take().is_some() {
                    log::warn!("the programs' counters can be read again");
                }
                totals
            }
            Err(error) => {
                let why = error.to_string();
                if self.no_counters.is_none() {
                    log::error!("{why}: what is lost is not known until that works");
                }
                self.no_counters = Some(why);
                return;
            }
        };
        self.counts.learn(&totals, || skipped(&self.observer));
        for ((place, lost), told) in self.counts.by_place().into_iter().zip(&mut self.lost_told) {
            if lost > *told {
                face.lost_at(place, lost - *told);
                *told = lost;
                self.canary.loss_is_known();
                self.owes_resync = true;
            }
        }
    }

    /// Somebody may have cut a link. What was missed since is mended by a comparison.
    fn attach_again(&mut self) {
        self.owes_resync = true;
        match self.observer.attach_again() {
            Ok(()) => {
                self.reattached += 1;
                log::warn!("all hooks were attached again, because canaries go unseen");
            }
            Err(reason) => {
                log::error!("canaries go unseen, and the hooks cannot be attached again: {reason}");
            }
        }
    }

    pub(super) fn look_for_misses(&mut self) {
        self.counts.learn_skipped(skipped(&self.observer));
    }

    /// Zombies that the kernel does not have any more were released unseen: the tree is mended then, before anybody is
    /// told of a zombie that is none. Each zombie is looked up once.
    fn doubt_zombies(&mut self, face: &mut impl Face) {
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
                // Nothing was learned, of this one or of any other: they are looked up when /proc can be read again.
                Err(error) => {
                    log::debug!("looking up a zombie: {error}");
                    break;
                }
            }
        }
        if !gone.is_empty() {
            log::debug!("a zombie is gone that nobody was seen to release; reading all tasks");
            let failed = self.mending.failed;
            self.resync(Why::Doubt, face);
            // One that the kernel itself still shows is hidden from us in /proc: asking again would not help.
            if self.mending.failed == failed {
                self.confirmed.extend(gone);
            }
        }
    }
}

/// What the kernel says of the programs that send records: a system call for each.
fn skipped(observer: &Observer) -> Skipped {
    let mut skipped = Skipped::default();
    for (program, stats) in observer.program_stats() {
        let missed = stats.missed.unwrap_or(0);
        skipped.all += missed;
        if program == COPY_PROCESS_RETURN {
            skipped.returns += missed;
        }
    }
    skipped
}
