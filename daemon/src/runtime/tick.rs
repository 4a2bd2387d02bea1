//! What is done four times a second: canaries, counters of the programs, and comparisons that are due.

use super::{EventSink, LossPlace, Pipeline, Why, sums::Skipped};
use crate::{
    failpoint,
    kernel::{clock::boottime, hooks::COPY_PROCESS_RETURN, observer::Observer},
};

/// Every this many ticks, the daemon reads the counts of skipped calls: a system call for each program.
const TICKS_PER_CHECK: u64 = 4;

impl Pipeline {
    pub(super) fn tick(&mut self, sink: &mut impl EventSink) {
        failpoint::follow();
        self.canary.tick(boottime());
        self.follow_wants(sink);
        if self.canary.take_alert() {
            self.attach_again();
        }
        self.observer.flush_log();
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_CHECK) {
            self.check_misses();
        }
        self.check_losses(sink);
        self.end_gone_zombies(sink);
        self.settle_orphans(sink);
        self.end_reaped_zombies_in_tick(sink);
        self.compare(sink);
        self.poll_blocked(sink);
        // If the daemon did not get a CPU, the records of a canary that seems to be late may still be in the ring.
        let now = boottime();
        self.catch_up(sink);
        self.settle_new_orphans(sink);
        self.poll_leaks(sink);
        // Check again, so that no zombie is flagged whose release was lost in the meantime.
        self.check_losses(sink);
        let flagged = self.zombies_to_flag(now, sink);
        self.lineage.tick_flagging(now, flagged, &mut self.effects);
        let shares: Vec<_> = self.lineage.take_shares().collect();
        sink.take_usage(&shares);
        self.deliver_stops(sink);
    }

    /// Compares the tree with the kernel's tasks if there is a reason to.
    fn compare(&mut self, sink: &mut impl EventSink) {
        let now = boottime();
        let audit_ns = self.trust.audit_every.as_nanos();
        if now < self.backoff_until {
            return;
        }
        if std::mem::take(&mut self.resync_due) {
            self.resync(Why::Loss, sink);
        } else if self.put_off.is_due() || (audit_ns > 0 && u128::from(now.since(self.resynced)) >= audit_ns)
        {
            self.resync(Why::Audit, sink);
        } else if self.ticks.is_multiple_of(2) {
            self.doubt_zombies(sink);
        }
    }

    /// Finds out how many records were lost, and reports that to the sink. Notes what is uncertain after the loss: whether the tree
    /// matches the kernel, and whether its zombies still exist. If the counters cannot be read now, the loss is found later,
    /// because counters only grow.
    pub(super) fn check_losses(&mut self, sink: &mut impl EventSink) {
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
                    log::error!("{why}: until this works, taskscope does not know what is lost");
                }
                self.no_counters = Some(why);
                return;
            }
        };
        self.counts.learn(&totals, || skipped(&self.observer));
        let mut may_miss_releases = false;
        let mut may_miss_signals = false;
        for (((place, lost), reported), causes_reported) in self
            .counts
            .by_place()
            .into_iter()
            .zip(&mut self.lost_reported)
            .zip(&mut self.causes_lost_reported)
        {
            if lost > *reported {
                sink.lost(place, lost - *reported);
                let causes = self.counts.causes_lost_at(place);
                let of_tree = (lost - *reported).saturating_sub(causes.saturating_sub(*causes_reported));
                // What is lost in a program or in the daemon has no kind.
                let is_by_kind = matches!(place, LossPlace::Ring | LossPlace::Shed);
                may_miss_signals |= !is_by_kind || causes > *causes_reported;
                (*reported, *causes_reported) = (lost, causes);
                // The tree does not depend on signals.
                if of_tree == 0 {
                    continue;
                }
                self.uncompared += of_tree;
                self.canary.loss_is_known();
                self.resync_due = true;
                // Records left out by rule are never releases.
                may_miss_releases |= place != LossPlace::Shed;
            }
        }
        if may_miss_signals {
            self.lineage.doubt_signals(boottime());
        }
        if may_miss_releases {
            self.lineage.doubt_zombies(boottime());
            self.confirm_zombies();
        }
    }

    /// Attaches all hooks again, because a link may have been cut. A comparison repairs what was missed in between.
    fn attach_again(&mut self) {
        self.resync_due = true;
        match self.observer.attach_again() {
            Ok(()) => {
                self.reattached += 1;
                log::warn!("all hooks were attached again, because no canary was seen");
            }
            Err(reason) => {
                // The programs may note no sleeps any more.
                self.distrust_noted();
                log::error!("no canary is seen, and the hooks cannot be attached again: {reason}");
            }
        }
    }

    pub(super) fn check_misses(&mut self) {
        self.counts.learn_skipped(skipped(&self.observer));
    }
}

/// Reads the kernel's statistics of the programs that send records: a system call for each.
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
