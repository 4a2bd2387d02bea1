//! Stops of units and containers: a stop signal from outside of a cgroup to a process at the top of it, until the last
//! process of the cgroup ends.
//!
//! Supervisors (systemd, container runtimes) are not in the cgroups that they stop. A signal to a process whose parent is
//! in the same cgroup stops a worker, not the unit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::Lineage;
use crate::model::death::{Cause, Sender, Stop, StopMember, StopRequest};
use crate::model::flags::{SIGINT, SIGKILL, SIGQUIT, SIGTERM, TRACE_SIGNAL_IGNORED};
use crate::model::id::{GroupKey, Ktime};
use crate::model::record::{SignalInfo, SignalSent};
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The most stops that are followed at once, and the most that are kept after their end.
const STOPS: usize = 256;
/// The most processes of one stop that are listed.
const MEMBERS: usize = 256;
/// A stop whose processes still live after this time, ns, is dropped: supervisors wait for minutes at most.
const KEEP_NS: u64 = 600_000_000_000;

/// Stops in progress, and those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    under_way: HashMap<u64, Stop>,
    ended: VecDeque<Arc<Stop>>,
    /// Ended stops that [`Stops::take_ended`] has not returned yet.
    untaken: VecDeque<Arc<Stop>>,
}

impl Stops {
    /// Returns the stops that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> impl Iterator<Item = Arc<Stop>> {
        self.untaken.drain(..)
    }

    /// Removes stops whose processes still live after [`KEEP_NS`].
    pub(super) fn forget_old(&mut self, now: Ktime) {
        if !self.under_way.is_empty() {
            self.under_way.retain(|_, stop| now.since(stop.began) <= KEEP_NS);
        }
    }

    fn end(&mut self, mut stop: Stop, at: Ktime) {
        stop.ended = Some(at);
        let stop = Arc::new(stop);
        for kept in [&mut self.ended, &mut self.untaken] {
            if kept.len() >= STOPS {
                kept.pop_front();
            }
            kept.push_back(Arc::clone(&stop));
        }
    }
}

impl Lineage {
    /// Returns stops in progress, and then those that have ended, the last first.
    pub fn stops(&self) -> impl Iterator<Item = Arc<Stop>> {
        let under_way = self.deaths.stops.under_way.values().map(|stop| Arc::new(stop.clone()));
        under_way.chain(self.deaths.stops.ended.iter().rev().cloned())
    }

    /// Returns stops that have ended since the last call.
    pub fn take_ended_stops(&mut self) -> impl Iterator<Item = Arc<Stop>> {
        self.deaths.stops.take_ended()
    }

    /// Handles a signal to a group: it can begin a stop or be part of one.
    pub(super) fn follow_stop(&mut self, at: Ktime, sent: &SignalSent, group: Ix<Group>) {
        let is_request = matches!(sent.signal, SIGTERM | SIGINT | SIGQUIT);
        if !is_request && sent.signal != SIGKILL || sent.info == SignalInfo::Kernel {
            return;
        }
        let Some(cgroup_id) = self.store.cgroup_of(&self.store[group]) else { return };
        let is_under_way = self.deaths.stops.under_way.contains_key(&cgroup_id);
        let may_begin = is_request && self.deaths.stops.under_way.len() < STOPS;
        if !(is_under_way || may_begin) {
            return;
        }
        let sender = self.sender(sent);
        let is_own = sender.cgroup_id == Some(cgroup_id);
        if !is_under_way {
            // A process of another cgroup sends a stop signal to a process at the top of this cgroup.
            let parent = self.store.parents_of(group).and_then(|it| self.store.cgroup_of(&self.store[it]));
            if is_own || sender.cgroup_id.is_none() || parent == Some(cgroup_id) {
                return;
            }
            self.begin_stop(cgroup_id, at, sent.signal, sender);
        }
        let key = self.store[group].key();
        let is_itself = sent.sender.is_some_and(|by| by.tgid == sent.target.tgid);
        let Some(stop) = self.deaths.stops.under_way.get_mut(&cgroup_id) else { return };
        let Some(member) = stop.members.iter_mut().find(|member| member.key.tgid == key.tgid) else { return };
        if sent.signal == SIGKILL {
            if !is_itself {
                member.killed.get_or_insert(at);
            }
        } else if member.asked.is_none() && !is_itself {
            member.asked = Some(StopRequest {
                at,
                signal: sent.signal,
                is_dropped: sent.result == TRACE_SIGNAL_IGNORED,
                disposition: sent.disposition,
                is_passed_on: is_own,
            });
        }
    }

    fn begin_stop(&mut self, cgroup_id: u64, began: Ktime, signal: i32, sender: Sender) {
        let mut stop = Stop { cgroup_id, began, signal, sender, members: Vec::new(), more: 0, ended: None };
        self.add_members(&mut stop);
        self.deaths.stops.under_way.insert(cgroup_id, stop);
    }

    /// Adds live processes of the cgroup that the stop does not list yet. Returns whether the cgroup has live processes.
    fn add_members(&self, stop: &mut Stop) -> bool {
        let (known, more) = (stop.members.len(), stop.more);
        stop.more = 0;
        for group in self.groups().filter(|group| group.cgroup_id() == Some(stop.cgroup_id)) {
            let key = group.key();
            let ix = self.store.find_current(key.tgid.leader()).and_then(|leader| self.store[leader].group());
            let has_ended = ix.is_some_and(|ix| self.store[ix].has(fact::EXIT_EMITTED));
            if has_ended || stop.members.iter().take(known).any(|member| member.key == key) {
                continue;
            }
            if stop.members.len() >= MEMBERS {
                stop.more += 1;
                continue;
            }
            stop.members.push(StopMember {
                key,
                name: group.name(),
                parent: group.parent().map(|parent| parent.key()),
                asked: None,
                killed: None,
                ended: None,
                cause: None,
            });
        }
        let lives = stop.members.len() > known || stop.more > 0;
        stop.more = stop.more.max(more);
        lives
    }

    /// Handles the end of a group, which may be the last one of a cgroup that is stopping.
    pub(super) fn end_stop_of(&mut self, key: GroupKey, cgroup_id: Option<u64>, at: Ktime, cause: Cause) {
        if self.deaths.stops.under_way.is_empty() {
            return;
        }
        let Some(id) = cgroup_id else { return };
        let Some(mut stop) = self.deaths.stops.under_way.remove(&id) else { return };
        if let Some(member) = stop.members.iter_mut().find(|member| member.key.tgid == key.tgid) {
            member.ended.get_or_insert(at);
            member.cause.get_or_insert(cause);
        }
        let lives = stop.members.iter().any(|member| member.ended.is_none()) || self.add_members(&mut stop);
        if lives {
            self.deaths.stops.under_way.insert(id, stop);
        } else {
            self.deaths.stops.end(stop, at);
        }
    }
}
