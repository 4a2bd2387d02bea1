//! Processes that have outlived their session: its leader, a shell or a job, has ended, and an init or a subreaper has adopted them.
//!
//! A process that visibly means to outlive its session is not flagged: it calls setsid(2) (daemons, tmux, screen), it ignores SIGHUP
//! (nohup), the session's leader never called execve(2) (the first child of a double fork), a service manager started the leader
//! (units of a service), it runs the program of the leader (an upgrade in place), or it has children in other cgroups (shims of
//! containers). Any other process may also be meant to outlive it, so this leak is never certain.

use std::collections::HashMap;

use super::{FOLLOWED, Thresholds};
use crate::Lineage;
use crate::history::query::GroupView;
use crate::model::id::{GroupKey, Ktime, Tgid};
use crate::model::leak::{Leak, Leaking, Orphans};
use crate::model::life::Life;

/// The part of the window for which a process must have outlived its session.
const GRACE_PART: u64 = 20;
/// The most processes whose session is read for one poll.
const READ: usize = 16;

/// What /proc shows of the session of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The pid of the session's leader.
    pub session: Tgid,
    /// Whether the process ignores SIGHUP.
    pub ignores_hangup: bool,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    adopted: Ktime,
    /// `None`: not read yet.
    session: Option<SessionFacts>,
}

/// Processes that an init or a subreaper has adopted.
#[derive(Debug, Default)]
pub(super) struct Orphaned(HashMap<GroupKey, Candidate>);

impl Orphaned {
    /// Begins to follow these processes.
    pub(super) fn follow(&mut self, adopted: &[(GroupKey, Ktime)], now: Ktime) {
        for &(key, at) in adopted {
            if self.0.len() >= FOLLOWED && !self.0.contains_key(&key) {
                let newest = self.0.iter().max_by_key(|(key, it)| (it.adopted, **key)).map(|(key, _)| *key);
                if let Some(newest) = newest {
                    self.0.remove(&newest);
                }
            }
            self.0.insert(key, Candidate { adopted: at.min(now), session: None });
        }
    }

    /// Returns processes that have been orphans for long enough, and whose session was not read.
    pub(super) fn unread(&self, now: Ktime, limits: &Thresholds) -> Vec<GroupKey> {
        let is_due =
            |it: &Candidate| it.session.is_none() && now.since(it.adopted) >= limits.part(GRACE_PART);
        self.0.iter().filter(|(_, it)| is_due(it)).map(|(key, _)| *key).take(READ).collect()
    }

    /// Takes what was read about a session. If nothing could be read, the process is not followed any more.
    pub(super) fn learn(&mut self, of: GroupKey, facts: Option<SessionFacts>) {
        // A leader of a session, and a process that ignores SIGHUP, outlive a session on purpose.
        match facts.filter(|facts| facts.session != of.tgid && !facts.ignores_hangup) {
            Some(facts) => {
                if let Some(candidate) = self.0.get_mut(&of) {
                    candidate.session = Some(facts);
                }
            }
            None => {
                self.0.remove(&of);
            }
        }
    }

    /// Returns the sessions that ended and have processes left.
    pub(super) fn poll(&mut self, lineage: &Lineage, now: Ktime, limits: &Thresholds) -> Vec<(u64, Leak)> {
        let mut jobs: HashMap<GroupKey, (Life, Vec<(GroupKey, u64)>)> = HashMap::new();
        self.0.retain(|key, candidate| {
            let Some(group) = lineage.group(key.tgid).filter(|group| group.key() == *key) else {
                return false;
            };
            if lineage.sizes(*key).is_none() {
                return false;
            }
            let Some(facts) = candidate.session else { return true };
            match Session::of(group, facts.session, lineage, now, limits) {
                Session::Lives => true,
                Session::Ended(job) => {
                    let (_, left) = jobs.entry(job.key).or_insert_with(|| (*job, Vec::new()));
                    left.push((*key, group.cgroup_id().unwrap_or(0)));
                    true
                }
                Session::OnPurpose => false,
            }
        });
        jobs.into_values()
            .filter_map(|(job, left)| leak(&job, left, lineage, now))
            .map(|leak| (0, leak))
            .collect()
    }
}

/// What became of a session.
enum Session {
    /// Its leader lives, or has ended just now.
    Lives,
    /// Its leader has ended.
    Ended(Box<Life>),
    /// Its processes outlive it on purpose, or its leader is not known.
    OnPurpose,
}

impl Session {
    fn of(orphan: GroupView<'_>, session: Tgid, lineage: &Lineage, now: Ktime, limits: &Thresholds) -> Self {
        // The kernel does not use the pid again as long as the session has a process.
        let Some(leader) = lineage.life(session, now) else { return Self::OnPurpose };
        let Some(ended) = leader.ended_at else {
            return if leader.released_at.is_some() { Self::OnPurpose } else { Self::Lives };
        };
        if now.since(ended) < limits.part(GRACE_PART) {
            return Self::Lives;
        }
        // A leader that never called execve(2) is the first child of a double fork.
        let is_job = leader.execs > 0 && leader.cgroup_id == orphan.cgroup_id();
        let parent = leader.first_parent.or(leader.parent);
        let parents_cgroup =
            parent.and_then(|parent| lineage.life_by_key(parent, now)).and_then(|it| it.cgroup_id);
        // A service manager started it: it knows of the processes that are left.
        let is_managed = parents_cgroup.is_none() || parents_cgroup != leader.cgroup_id;
        let runs_the_same =
            leader.executable.as_deref().is_some_and(|path| orphan.executable() == Some(path));
        let is_shim = orphan.children().any(|child| child.cgroup_id() != orphan.cgroup_id());
        if !is_job || is_managed || runs_the_same || is_shim {
            return Self::OnPurpose;
        }
        Self::Ended(Box::new(leader))
    }
}

fn leak(job: &Life, mut left: Vec<(GroupKey, u64)>, lineage: &Lineage, now: Ktime) -> Option<Leak> {
    left.sort_unstable_by_key(|(key, _)| (key.start, key.tgid));
    let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
    let (culprit, cgroup_id) = *left.first()?;
    let named = |(key, _): &(GroupKey, u64)| (*key, lineage.name_by_key(*key));
    let orphans = Orphans {
        job: job.key,
        job_name: job.name,
        ended: job.ended_at?,
        left: left.iter().take(Orphans::MOST).map(named).collect(),
        count,
    };
    Some(Leak {
        culprit,
        name: lineage.name_by_key(culprit),
        cgroup_id: Some(cgroup_id).filter(|&id| id != 0),
        since: orphans.ended,
        seen: now,
        what: Leaking::Orphans(Box::new(orphans)),
    })
}
