//! The answer of `deaths`: why processes ended.
//!
//! - `filter`: the filter of the query; `subtree`: the descendants of a process
//! - `signal`: a signal with its sender; `oom`: the memory limit that was reached; `parent_then`: what the parent did afterwards;
//!   `child_before`: the child whose end a process passed on
//! - `crash_loop`: units that keep ending by the same cause; `of_life`: a death from the record of a life
//! - `words`: the sentences

mod child_before;
mod crash_loop;
mod filter;
mod of_life;
mod oom;
mod parent_then;
mod relatives;
mod si_code;
mod signal;
mod subtree;
mod words;

pub(super) use self::filter::any;
pub(super) use self::relatives::Relatives;
use self::subtree::Subtrees;
pub use self::{
    child_before::ChildBefore,
    crash_loop::{CRASH_LOOP_ENDS, CrashLoop, is_crash, recent},
    filter::{DeathFilter, UnknownCause},
    oom::Oom,
    parent_then::ParentThen,
    signal::{Sender, Signal},
};

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    HostFacts, LineageAt, Made, MergeLocalFacts,
    known::Known,
    life::LifeRecord,
    place::AnswerPlace,
    process::{Exit, ProcessRef, User},
    time_arg,
};
use crate::{
    export::Stamp,
    lineage::{
        Life,
        death::{Cause, GroupDeath},
        id::{GroupKey, Ktime},
    },
};

/// The answer to `/v1/deaths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deaths {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// How processes ended, the last first.
    pub deaths: Vec<Death>,
    /// Units and containers whose processes keep ending by the same cause. The filter does not apply to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crash_loops: Vec<CrashLoop>,
    /// What the history covers, if the answer is also from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Box<Known>>,
}

impl Deaths {
    /// Creates an answer from the history alone.
    #[must_use]
    pub fn of_history(stamp: &Stamp, now: Ktime) -> Self {
        let made = Made::at(now, None, stamp);
        Self { made, deaths: Vec::new(), crash_loops: Vec::new(), history: None }
    }

    /// Adds deaths from the history that the answer does not have yet, and keeps the latest `limit`.
    pub fn add_history(&mut self, lives: &[LifeRecord], known: Known, limit: usize) {
        let identity = |process: &ProcessRef, at: u64| {
            (process.pid, process.entity_id.clone(), if process.entity_id.is_some() { 0 } else { at })
        };
        let known_already: HashSet<_> =
            self.deaths.iter().map(|death| identity(&death.process, death.boottime_ns)).collect();
        let new = lives
            .iter()
            .map(Death::of_life)
            .filter(|death| !known_already.contains(&identity(&death.process, death.boottime_ns)));
        self.deaths.extend(new);
        self.deaths.sort_by_cached_key(|death| Reverse(time_arg::wall_ns(&death.timestamp)));
        self.deaths.truncate(limit);
        self.history = Some(Box::new(known));
    }
}

impl MergeLocalFacts for Deaths {}

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// When its last task died, by the wall clock.
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// The same time on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// The process that ended.
    pub process: ProcessRef,
    /// Its parent at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// Its real user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// Its wait(2) status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The cause's code.
    pub cause: String,
    /// `certain`, `likely` or `unknown`.
    pub certainty: String,
    /// The code of the fact that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The cause as a sentence.
    pub summary: String,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Other signals that were sent to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_signals: Vec<Signal>,
    /// The process whose allocation caused the out-of-memory kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_trigger: Option<ProcessRef>,
    /// The memory limit that was reached when the out-of-memory killer ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom: Option<Oom>,
    /// What its parent did afterwards, if a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_then: Option<ParentThen>,
    /// The child whose end it passed on, by the same signal or by an exit code of 128 plus the signal's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_before: Option<ChildBefore>,
    /// The process that traced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracer: Option<ProcessRef>,
}

/// The part of the answer that comes from the lineage; places are added later.
pub struct DeathsDraft {
    deaths: Vec<Arc<GroupDeath>>,
    /// What the relatives of each ended process did.
    relatives: Vec<Relatives>,
    /// Ends of the last minutes that count for crash loops.
    crashes: Vec<Arc<GroupDeath>>,
    filter: DeathFilter,
    now: Ktime,
    observed_since: Option<Ktime>,
}

impl DeathsDraft {
    /// Selects what the query asks for.
    #[must_use]
    pub fn of(lineage_at: &LineageAt<'_>, filter: DeathFilter) -> Self {
        let lineage = lineage_at.lineage;
        let mut deaths: Vec<_> = lineage.deaths().filter(|death| filter.wants(death)).cloned().collect();
        // If the query has a subtree, only ends of its processes are selected.
        let mut subtrees = Subtrees::new(&filter.subtrees, lineage_at);
        if filter.all {
            let plain = lineage.dead_lives().filter(|life| life.death.is_none()).map(|life| exited(&life));
            deaths.extend(plain.filter(|death| filter.wants(death)).map(Arc::new));
            deaths.sort_by_key(|death| std::cmp::Reverse(death.at));
        }
        deaths.retain(|death| subtrees.have(death));
        if filter.units.is_empty() && filter.containers.is_empty() {
            deaths.truncate(filter.limit);
        }
        let relatives = Relatives::of(&deaths, lineage_at);
        let crashes = recent(lineage, lineage_at.now).cloned().collect();
        Self {
            deaths,
            relatives,
            crashes,
            filter,
            now: lineage_at.now,
            observed_since: lineage_at.observed_since,
        }
    }

    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let all = self.deaths.iter().chain(&self.crashes);
        let mut ids: Vec<_> = all.flat_map(|death| cgroups(death)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Completes the answer.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Deaths {
        let filter = &self.filter;
        let deaths = self.deaths.iter().zip(&self.relatives).filter_map(|(of, relatives)| {
            let death = Death::with_relatives(of, relatives, host_facts);
            filter.wants_place(death.place.as_ref()).then_some(death)
        });
        let deaths = deaths.take(filter.limit).collect();
        let crash_loops = crash_loop::find(&self.crashes, host_facts);
        Deaths {
            made: Made::at(self.now, self.observed_since, host_facts.stamp),
            deaths,
            crash_loops,
            history: None,
        }
    }
}

/// Returns the cgroups of a dead process and of the senders of its signals.
pub(super) fn cgroups(death: &GroupDeath) -> impl Iterator<Item = u64> {
    let senders = death.by.iter().chain(&death.others).filter_map(|sent| sent.sender.cgroup_id);
    death.cgroup_id.into_iter().chain(senders)
}

/// Returns the end of a life that exited by itself and received no signal.
fn exited(life: &Life) -> GroupDeath {
    GroupDeath {
        key: life.key,
        at: life.released_at.unwrap_or(life.since),
        name: life.name,
        parent: life.parent,
        parent_name: life.parent_name,
        uid: life.credentials.map(|(real, _)| real),
        cgroup_id: life.cgroup_id,
        is_top: false,
        scope: None,
        executable: None,
        parent_forked: None,
        status: life.status,
        cause: if life.status.is_some() { Cause::Exited } else { Cause::Unknown },
        missing: None,
        by: None,
        others: Vec::new(),
        tracer: None,
        oom: None,
    }
}

impl Death {
    /// Creates the record of a dead group.
    #[must_use]
    pub fn of(death: &GroupDeath, host_facts: &mut HostFacts<'_>) -> Self {
        let stamp = host_facts.stamp;
        let signal = death.by.as_ref().map(|sent| Signal::of(sent, host_facts));
        let other_signals = death.others.iter().map(|sent| Signal::of(sent, host_facts)).collect();
        let parent = death.parent.filter(|parent| parent.tgid.0 != 0);
        let trigger = death.oom.as_ref().and_then(|oom| Some((oom.trigger?, oom.trigger_name)));
        let oom =
            death.oom.as_ref().and_then(|oom| oom.limit.as_deref()).filter(|_| death.cause == Cause::Oom);
        let mut made = Self {
            timestamp: stamp.timestamp(death.at),
            boottime_ns: death.at.0,
            process: ProcessRef::by(death.key, death.name, stamp),
            parent: parent.map(|parent| ProcessRef::by(parent, death.parent_name, stamp)),
            user: death.uid.map(|id| User { id }),
            place: death.cgroup_id.and_then(|id| (host_facts.places)(id)),
            exit: death.status.map(Exit::of),
            cause: death.cause.code().into(),
            certainty: death.certainty().into(),
            missing: death.missing.map(|missing| missing.code().into()),
            summary: String::new(),
            signal,
            other_signals,
            oom_trigger: trigger
                .map(|(task, name)| ProcessRef::by(GroupKey { tgid: task.tgid, start: None }, name, stamp)),
            oom: oom.map(Oom::of),
            parent_then: None,
            child_before: None,
            tracer: death.tracer.map(|(task, name)| ProcessRef::by(task.group(), name, stamp)),
        };
        made.summary = words::summary(death, &made);
        made
    }
}
