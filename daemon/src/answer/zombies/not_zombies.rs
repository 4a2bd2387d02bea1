//! Processes that are not zombies but look like them: dead leaders, and exits that do not end.

use std::{thread::sleep, time::Duration};

use super::Other;
use crate::{
    answer::{HostFacts, LineageAt, process::ProcessRef},
    lineage::{LifeState, TaskState, flags::PF_EXITING, id::GroupKey},
    procfs::Procfs,
    verdict::facts::Named,
};

/// The most processes of each kind that are listed.
const MOST: usize = 50;

/// An exit counts as stuck after this time, ns.
const STUCK_AFTER_NS: u64 = 10_000_000_000;

/// Without observation an exit counts as stuck if it has not ended after this time; freeing a large memory takes long.
const EXITS_WITHIN: Duration = Duration::from_millis(300);

/// The part that comes from the lineage.
pub(super) struct NotZombies {
    observed: bool,
    dead_leaders: Vec<Case>,
    stuck_exits: Vec<Case>,
}

struct Case {
    named: Named,
    threads_left: u32,
    for_ns: u64,
}

impl NotZombies {
    pub(super) fn of(lineage_at: &LineageAt<'_>) -> Self {
        let (mut dead_leaders, mut stuck_exits) = (Vec::new(), Vec::new());
        let observed = lineage_at.observed_since.is_some();
        let exiting = lineage_at.lineage.state_counts().of(TaskState::Exiting);
        if lineage_at.lineage.dead_leader_count() + exiting > 0 {
            for group in lineage_at.lineage.groups() {
                let Some(life) = group.life(lineage_at.now) else { continue };
                let case = |since| Case {
                    named: Named::from(&life),
                    threads_left: life.threads.saturating_sub(1),
                    for_ns: lineage_at.now.since(since),
                };
                match life.state {
                    LifeState::DeadLeader => {
                        dead_leaders.push(case(life.leader_died_at.unwrap_or(life.since)));
                    }
                    // A single poll found it in its exit, which may end at any time: /proc shows later whether it has.
                    LifeState::Exiting if !observed || lineage_at.now.since(life.since) >= STUCK_AFTER_NS => {
                        stuck_exits.push(case(life.since));
                    }
                    _ => {}
                }
            }
        }
        dead_leaders.truncate(MOST);
        stuck_exits.truncate(MOST);
        Self { observed, dead_leaders, stuck_exits }
    }

    /// Dead leaders, then stuck exits.
    pub(in crate::answer) fn finish(mut self, host_facts: &HostFacts<'_>) -> (Vec<Other>, Vec<Other>) {
        if !self.observed && !self.stuck_exits.is_empty() {
            sleep(EXITS_WITHIN);
            self.stuck_exits.retain(|case| is_exiting(case.named.key, host_facts.procfs));
        }
        let other = |case: &Case| Other {
            process: ProcessRef::of(&case.named, host_facts.stamp),
            threads_left: case.threads_left,
            for_at_least_ns: self.observed.then_some(case.for_ns),
        };
        let all = |cases: &[Case]| cases.iter().map(other).collect();
        (all(&self.dead_leaders), all(&self.stuck_exits))
    }
}

/// Whether a process is still exiting and not a zombie.
fn is_exiting(key: GroupKey, procfs: &Procfs) -> bool {
    let stat = procfs.stat(key.tgid).ok().flatten();
    stat.is_some_and(|stat| {
        stat.flags & PF_EXITING != 0
            && stat.state != b'Z'
            && key.start.is_none_or(|start| procfs.began(&stat, start))
    })
}
