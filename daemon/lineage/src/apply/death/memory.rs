//! Stores signals until their group ends, and stores how groups ended. It is separate from the groups, so a group without signals
//! needs no memory for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::job_stops::JobStops;
use super::stops::Stops;
use crate::model::death::{GroupDeath, JobStop, OomMark, Received, Sent, Watch};
use crate::model::flags::SIGKILL;
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::record::{SignalInfo, SignalSent};

/// The most groups whose signals are kept.
const PENDING: usize = 4_096;
/// The most signals of one group that are kept: the first one and the last ones.
const SIGNALS: usize = 6;
/// Supervisors wait up to minutes between SIGTERM and SIGKILL.
const KEEP_NS: u64 = 600_000_000_000;
/// A process passes a signal on within this time, ns.
pub(super) const PASSED_ON_NS: u64 = 1_000_000_000;
/// The most ends that are kept.
const RECENT: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) sent: Vec<Sent>,
    pub(super) oom: Option<OomMark>,
    pub(super) orphaned: Option<Orphaned>,
    /// The last task of the group that a signal ended.
    pub(super) exiting: Option<ExitingTask>,
    pub(super) has_forgotten: bool,
    at: Ktime,
}

/// A task that a signal ends, as it was when it began to exit.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExitingTask {
    pub(super) at: Ktime,
    pub(super) signal: i32,
    pub(super) tracer: Option<TaskRef>,
    pub(super) seccomp_mode: Option<u32>,
}

/// The kernel sent SIGHUP and then SIGCONT, as `kill_orphaned_pgrp()` does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphaned {
    pub(super) was_stopped: bool,
    pub(super) leads_session: Option<bool>,
    /// Whether the terminal of the sender was hung up before.
    pub(super) is_sender_hung_up: bool,
}

/// Signals that may end a group, and how groups ended.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    pub(super) watch: Watch,
    pending: HashMap<u32, Pending>,
    /// Groups with stored signals, the oldest first. A group can be listed more than once; its last entry counts.
    order: VecDeque<(Ktime, u32)>,
    /// Time until which signals were dropped because there was no room.
    forgotten_until: Ktime,
    recent: VecDeque<Arc<GroupDeath>>,
    by_key: HashMap<GroupKey, Arc<GroupDeath>>,
    pub(super) job_stops: JobStops,
    /// Stops of units and containers.
    pub(super) stops: Stops,
}

impl Deaths {
    /// Counts a repeated signal; returns false if this signal is not stored yet.
    pub(super) fn repeat(&mut self, at: Ktime, sent: &SignalSent) -> bool {
        let target = sent.target.tgid.0;
        let is_known = self.sent_to(target).any(|it| it.is_repeated_by(sent));
        if !is_known {
            return false;
        }
        let received = self.received(at, sent);
        let same = self
            .pending
            .get_mut(&target)
            .and_then(|it| it.sent.iter_mut().find(|it| it.is_repeated_by(sent)));
        if let Some(same) = same {
            same.repeat(at, sent, received);
        }
        true
    }

    pub(super) fn add(&mut self, tgid: u32, sent: Sent) {
        let pending = self.pending(tgid, sent.at);
        if pending.sent.len() >= SIGNALS {
            pending.has_forgotten = true;
            // Nothing after a delivered SIGKILL can be the cause, so the new signal is dropped and not an old one.
            if pending.sent.iter().any(is_kill) {
                return;
            }
            #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "there are `SIGNALS`"))]
            pending.sent.remove(1);
        }
        pending.sent.push(sent);
    }

    /// Notes that the kernel sent SIGCONT, which matters if the same task sent SIGHUP before.
    pub(super) fn note_orphaned(
        &mut self,
        tgid: u32,
        sender: Option<TaskRef>,
        was_stopped: bool,
        leads_session: Option<bool>,
    ) {
        let senders = sender.and_then(|sender| self.pending.get(&sender.tgid.0));
        let is_sender_hung_up = senders.is_some_and(|pending| pending.sent.iter().any(Sent::is_hangup));
        let Some(pending) = self.pending.get_mut(&tgid) else { return };
        if pending.sent.iter().any(|sent| sent.is_hangup() && sent.sender.task == sender) {
            pending.orphaned = Some(Orphaned { was_stopped, leads_session, is_sender_hung_up });
        }
    }

    /// Notes a task that begins to exit because of a signal. The kernel ends the other tasks of the group by the same signal.
    pub(super) fn note_exiting(&mut self, tgid: u32, task: ExitingTask) {
        let pending = self.pending(tgid, task.at);
        let earlier = pending.exiting.filter(|earlier| earlier.signal == task.signal);
        pending.exiting = Some(ExitingTask {
            tracer: earlier.and_then(|earlier| earlier.tracer).or(task.tracer),
            seccomp_mode: earlier.and_then(|earlier| earlier.seccomp_mode).max(task.seccomp_mode),
            ..task
        });
    }

    /// Returns the same signal, if the sender has received it from another process shortly before.
    pub(super) fn received(&self, at: Ktime, sent: &SignalSent) -> Option<Box<Received>> {
        let sender = sent.sender.filter(|sender| sender.tgid != sent.target.tgid)?;
        let is_same = |it: &&Sent| {
            it.signal == sent.signal
                && it.is_delivered()
                && !it.is_from_itself()
                && it.last <= at
                && at.since(it.last) <= PASSED_ON_NS
        };
        let it = self.sent_to(sender.tgid.0).filter(is_same).max_by_key(|it| it.last)?;
        let is_by_kernel = it.info == SignalInfo::Kernel;
        Some(Box::new(Received { at: it.last, from: it.sender.task, name: it.sender.name, is_by_kernel }))
    }

    /// Returns the last signal that can have stopped a group, unless records of later ones may be lost.
    pub(crate) fn job_stop(&self, key: GroupKey) -> Option<Arc<JobStop>> {
        self.job_stops.of(key, self.watch.lost_until)
    }

    /// Returns the stored signals of a group that lives.
    pub(crate) fn sent_to(&self, tgid: u32) -> impl Iterator<Item = &Sent> {
        self.pending.get(&tgid).into_iter().flat_map(|pending| &pending.sent)
    }

    pub(super) fn mark(&mut self, tgid: u32, mark: OomMark) {
        let pending = self.pending(tgid, mark.at);
        pending.oom = Some(mark);
    }

    fn pending(&mut self, tgid: u32, at: Ktime) -> &mut Pending {
        while self.pending.len() >= PENDING && !self.pending.contains_key(&tgid) {
            let Some((at, oldest)) = self.order.pop_front() else { break };
            if self.pending.get(&oldest).is_some_and(|pending| pending.at <= at) {
                self.pending.remove(&oldest);
                self.forgotten_until = at.max(self.forgotten_until);
            }
        }
        // Entries of groups that have ended, or that have a later entry, must not make the queue grow without bound.
        if self.order.len() >= 2 * PENDING {
            let pending = &self.pending;
            self.order.retain(|(at, tgid)| pending.get(tgid).is_some_and(|pending| pending.at == *at));
        }
        self.order.push_back((at, tgid));
        let pending = self.pending.entry(tgid).or_default();
        pending.at = at;
        pending
    }

    /// Removes and returns the stored signals of a group that ends now.
    pub(super) fn take(&mut self, tgid: u32) -> Option<Pending> {
        if self.pending.is_empty() { None } else { self.pending.remove(&tgid) }
    }

    pub(super) const fn forgotten_until(&self) -> Ktime {
        self.forgotten_until
    }

    /// Forgets signals that are too old to have ended anything. A SIGKILL ends a process that is in state D or frozen only when it
    /// leaves that state, so it is kept while `lives` of the process.
    pub(crate) fn forget_old(&mut self, now: Ktime, lives: impl Fn(u32) -> bool) {
        self.stops.forget_old(now);
        while let Some(&(at, tgid)) = self.order.front()
            && now.since(at) > KEEP_NS
        {
            self.order.pop_front();
            let Some(pending) = self.pending.get_mut(&tgid).filter(|pending| pending.at <= at) else {
                continue;
            };
            if pending.sent.iter().any(is_kill) && lives(tgid) {
                pending.at = now;
                self.order.push_back((now, tgid));
            } else {
                self.pending.remove(&tgid);
            }
        }
    }

    pub(super) fn keep(&mut self, death: &Arc<GroupDeath>) {
        while self.recent.len() >= RECENT {
            let Some(oldest) = self.recent.pop_front() else { break };
            if self.by_key.get(&oldest.key).is_some_and(|kept| Arc::ptr_eq(kept, &oldest)) {
                self.by_key.remove(&oldest.key);
            }
        }
        self.recent.push_back(Arc::clone(death));
        self.by_key.insert(death.key, Arc::clone(death));
    }

    /// Returns how this group ended.
    pub(crate) fn of(&self, key: GroupKey) -> Option<&Arc<GroupDeath>> {
        if self.by_key.is_empty() { None } else { self.by_key.get(&key) }
    }

    /// Returns the stored ends, the last first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Arc<GroupDeath>> {
        self.recent.iter().rev()
    }

    /// Returns the number of groups with stored signals.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Returns the number of stored ends.
    pub(crate) fn recent_len(&self) -> usize {
        self.recent.len()
    }
}

fn is_kill(sent: &Sent) -> bool {
    sent.signal == SIGKILL && sent.is_delivered()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sent;
    use super::*;

    #[test]
    fn a_sigkill_is_kept_until_the_process_ends() {
        let mut deaths = Deaths::default();
        deaths.add(7, sent(SIGKILL));
        deaths.add(8, sent(15));
        for periods in 1..=3 {
            deaths.forget_old(Ktime(periods * (KEEP_NS + 2_000)), |_| true);
            assert_eq!((deaths.sent_to(7).count(), deaths.sent_to(8).count()), (1, 0), "{periods}");
        }
        deaths.forget_old(Ktime(9 * KEEP_NS), |_| false);
        assert!(deaths.take(7).is_none(), "no record showed the end of the process");
    }

    #[test]
    fn signals_after_a_sigkill_do_not_push_it_out() {
        let mut deaths = Deaths::default();
        for signal in [1, SIGKILL, 2, 3, 6, 10, 12, 14, 15] {
            deaths.add(7, sent(signal));
        }
        let kept: Vec<_> = deaths.sent_to(7).map(|sent| sent.signal).collect();
        assert_eq!(kept, [1, SIGKILL, 2, 3, 6, 10]);
    }
}
