//! Job control stops: the last signal that stopped each group, and whether the group was continued after it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Lineage;
use crate::model::death::{JobStop, Sent};
use crate::model::flags::{SIGCONT, SIGSTOP};
use crate::model::id::{GroupKey, Ktime};
use crate::model::record::{SignalInfo, SignalSent};
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

/// The most groups that are stored. A stop can last for days, so only the end of a group and a lack of room remove it.
const GROUPS: usize = 4_096;

/// The last stop of each group, by tgid.
#[derive(Debug, Default)]
pub(super) struct JobStops(HashMap<u32, Arc<JobStop>>);

impl JobStops {
    fn insert(&mut self, tgid: u32, mut stop: JobStop, is_traced: bool) {
        if let Some(earlier) = self.0.get(&tgid).filter(|earlier| earlier.sent.signal == stop.sent.signal) {
            // A tracer can discard the signal, so of a traced group the last one counts.
            if stop.sent.signal == SIGSTOP && earlier.continued.is_none() && !is_traced {
                return;
            }
            if earlier.sent.is_from_same_process(&stop.sent) {
                stop.sent.times = earlier.sent.times.saturating_add(1);
            }
        }
        if self.0.len() >= GROUPS && !self.0.contains_key(&tgid) {
            self.forget_older_half();
        }
        self.0.insert(tgid, Arc::new(stop));
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<_> = self.0.values().map(|stop| stop.sent.at).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        self.0.retain(|_, stop| stop.sent.at > middle);
    }

    fn continued(&mut self, tgid: u32, at: Ktime) {
        if let Some(stop) = self.0.get_mut(&tgid).filter(|stop| stop.continued.is_none()) {
            Arc::make_mut(stop).continued = Some(at);
        }
    }

    /// Returns the stop that a group is in.
    fn present(&self, tgid: u32) -> Option<&JobStop> {
        self.0.get(&tgid).map(Arc::as_ref).filter(|stop| stop.continued.is_none())
    }

    /// Returns the last stop of the group that had this tgid at a time after `since`.
    pub(super) fn of(&self, key: GroupKey, since: Ktime) -> Option<Arc<JobStop>> {
        if self.0.is_empty() {
            return None;
        }
        let stop = self.0.get(&key.tgid.0)?;
        let is_own = key.start.is_none_or(|start| start <= stop.sent.at);
        (is_own && stop.sent.at > since).then(|| Arc::clone(stop))
    }

    pub(super) fn remove(&mut self, tgid: u32) {
        if !self.0.is_empty() {
            self.0.remove(&tgid);
        }
    }
}

impl Lineage {
    /// Handles a signal that stops or continues a group.
    pub(super) fn on_job_control(&mut self, at: Ktime, sent: &SignalSent, group: Option<Ix<Group>>) {
        let tgid = sent.target.tgid.0;
        if sent.signal == SIGCONT {
            if sent.info == SignalInfo::Kernel {
                let stop = self.deaths.job_stops.present(tgid);
                let was_stopped = stop.is_some();
                let leads = sent.leads_session.or_else(|| stop?.leads_session);
                self.deaths.note_orphaned(tgid, sent.sender, was_stopped, leads);
            }
            self.deaths.job_stops.continued(tgid, at);
            return;
        }
        // PTRACE_ATTACH sends SIGSTOP to the tracee, which the tracer receives. BPF programs send one to the whole group.
        if sent.signal == SIGSTOP && sent.info == SignalInfo::Kernel && !sent.to_group {
            return;
        }
        if !matches!(sent.result, 0 | 4) {
            return;
        }
        let is_traced = group.is_some_and(|group| {
            self.store.rare_of(&self.store[group]).is_some_and(|it| it.tracer.is_some())
        });
        let stop = JobStop {
            sent: Sent::of(at, sent, self.sender(sent)),
            leads_session: sent.leads_session,
            continued: None,
        };
        self.deaths.job_stops.insert(tgid, stop, is_traced);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sent;
    use super::*;
    use crate::model::id::Tgid;

    #[test]
    fn the_latest_stops_of_many_groups_are_kept() {
        let mut stops = JobStops::default();
        for tgid in 1..=10_000 {
            let sent = Sent { at: Ktime(tgid), ..sent(SIGSTOP) };
            let stop = JobStop { sent, leads_session: None, continued: None };
            stops.insert(u32::try_from(tgid).unwrap(), stop, false);
        }
        assert!((GROUPS / 2..=GROUPS).contains(&stops.0.len()), "{}", stops.0.len());
        let key = GroupKey { tgid: Tgid(10_000), start: None };
        assert!(stops.of(key, Ktime(0)).is_some());
        assert!(stops.of(key, Ktime(10_000)).is_none(), "a later record can be lost");
    }
}
