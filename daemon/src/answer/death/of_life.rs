//! A death from the record of a life in the history.

use super::{Death, DeathFilter, words};
use crate::{
    answer::{
        life::{LifeFilter, LifeRecord},
        process::ProcessRef,
    },
    export::Stamp,
    lineage::{
        death::{Cause, GroupDeath, Missing},
        id::{GroupKey, Ktime, Tgid},
    },
};

impl Death {
    /// Creates it from a life. The history does not have the other signals, the memory limit that was reached, and what
    /// the parent did then.
    #[must_use]
    pub fn of_life(life: &LifeRecord) -> Self {
        let ended_ns = life.dead_ns();
        let zombie_ns = life.boottime_ns.saturating_sub(ended_ns);
        let ended_wall_ns = life.released_ms().map(|at| i128::from(at) * 1_000_000 - i128::from(zombie_ns));
        let process = &life.process;
        let parent = process.parent_pid.filter(|&pid| pid != 0);
        let mut made = Self {
            timestamp: ended_wall_ns
                .map_or_else(|| life.timestamp.clone(), |at| Stamp::new("", at.max(0)).timestamp(Ktime(0))),
            boottime_ns: ended_ns,
            process: ProcessRef {
                pid: process.pid,
                entity_id: process.entity_id.clone(),
                name: process.name.clone(),
                name_bytes: process.name_bytes.clone(),
            },
            parent: parent.map(|pid| ProcessRef {
                pid,
                entity_id: process.parent_entity_id.clone(),
                name: life.parent_name.clone(),
                name_bytes: None,
            }),
            user: process.real_user.clone(),
            place: life.place.clone(),
            exit: process.exit.clone(),
            cause: life.death.cause.clone(),
            certainty: life.death.certainty.clone(),
            missing: life.death.missing.clone(),
            summary: String::new(),
            signal: life.death.signal.clone(),
            other_signals: Vec::new(),
            oom_trigger: None,
            oom: None,
            parent_then: None,
            child_before: None,
            tracer: None,
        };
        made.summary = words::summary(&facts(life, ended_ns), &made);
        made
    }
}

/// Returns the facts that the sentence about a death needs. A code of a newer version counts as missing.
fn facts(life: &LifeRecord, ended_ns: u64) -> GroupDeath {
    let cause = Cause::ALL.into_iter().find(|cause| cause.code() == life.death.cause);
    let missing =
        Missing::ALL.into_iter().find(|missing| Some(missing.code()) == life.death.missing.as_deref());
    GroupDeath {
        key: GroupKey { tgid: Tgid(life.process.pid), start: life.start_boottime_ns.map(Ktime) },
        at: Ktime(ended_ns),
        name: None,
        parent: None,
        parent_name: None,
        uid: None,
        cgroup_id: None,
        is_top: false,
        scope: None,
        executable: None,
        parent_forked: None,
        status: None,
        cause: cause.unwrap_or(Cause::Unknown),
        missing,
        by: None,
        others: Vec::new(),
        tracer: None,
        oom: None,
    }
}

impl DeathFilter {
    /// Returns the same conditions for lives. Lives do not have subtrees.
    #[must_use]
    pub fn of_lives(&self) -> LifeFilter {
        LifeFilter {
            pids: self.pids.clone(),
            comms: self.comms.clone(),
            units: self.units.clone(),
            containers: self.containers.clone(),
            causes: self.causes.clone(),
            failed: !self.all,
            at_ms: None,
            ended_by_ms: None,
        }
    }
}
