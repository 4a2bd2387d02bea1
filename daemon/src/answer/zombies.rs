//! The answer of `zombies`: zombies by parent, with the reason; and processes that only look like zombies.

mod not_zombies;
mod parents;
mod past;

use serde::{Deserialize, Serialize};

pub use self::{
    parents::ZombiesDraft,
    past::{PastParent, PastZombies},
};
use super::{
    HostFacts, LineageAt, Made, MergeLocalFacts, Related, TaskSelector,
    explain::recall::judge_again,
    limits::Limit,
    place::AnswerPlace,
    process::{Exit, Process, ProcessRef},
    task::{Children, ZombieAge},
    verdict::AnswerVerdict,
};

/// The answer to `/v1/zombies`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zombies {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// How many zombies there are.
    pub zombies: u64,
    /// Zombies that died just now, which their parent may be about to reap.
    pub just_died: u64,
    /// The sum of the ages of all zombies, ns: many young zombies can weigh as much as a few old ones.
    #[serde(default)]
    pub reap_debt_ns: u64,
    /// Parents that have not waited for them, the one with most zombies first.
    pub parents: Vec<ZombieParent>,
    /// Number of parents that are not listed because there are too many.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub parents_left_off: u64,
    /// Processes that are not zombies: their leader has ended, other threads live.
    pub dead_leaders: Vec<Other>,
    /// Tasks that are stuck in `do_exit()`.
    pub stuck_exits: Vec<Other>,
    /// Limits on pids that are full, and the processes that fill them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_limits: Vec<Limit>,
}

/// A parent that has not waited for its zombies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZombieParent {
    /// The process.
    pub process: Process,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// Its counts of children.
    pub children: Children,
    /// How many zombies it adds per minute: those of the last minute that still exist. Absent without observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombies_per_minute: Option<f64>,
    /// The age of its oldest zombie.
    #[serde(flatten)]
    pub oldest: ZombieAge,
    /// The verdict on its oldest zombie.
    pub verdict: AnswerVerdict,
    /// Its oldest zombies.
    pub oldest_zombies: Vec<Zombie>,
    /// The lives that the verdict uses: its oldest zombie's, then its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A zombie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zombie {
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// The status that wait(2) would return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Its age as a zombie.
    #[serde(flatten)]
    pub age: ZombieAge,
}

/// Dead leader or stuck exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// Its threads besides the leader.
    pub threads_left: u32,
    /// How long this has lasted, at least, ns; absent without observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_at_least_ns: Option<u64>,
}

/// The filter of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZombieFilter {
    /// Only zombies that are known to be at least this old, ns.
    pub min_age_ns: u64,
    /// Only zombies of parents in such a systemd unit; `*` and `?` as in a shell.
    pub unit: Option<String>,
}

impl ZombieFilter {
    /// Whether a parent with this place matches.
    #[must_use]
    pub fn wants(&self, place: impl FnOnce() -> Option<AnswerPlace>) -> bool {
        let Some(glob) = &self.unit else { return true };
        let unit = place().and_then(|place| place.cgroup.unit);
        unit.is_some_and(|unit| crate::export::matches(glob.as_bytes(), unit.as_bytes()))
    }
}

impl Zombies {
    /// Returns how many of its zombies a parent should have reaped by now.
    #[must_use]
    pub const fn overdue(&self) -> u64 {
        self.zombies.saturating_sub(self.just_died)
    }
}

impl MergeLocalFacts for Zombies {
    fn needs_local_facts(&self) -> bool {
        self.parents.iter().any(|parent| parent.verdict.needs_local_facts())
    }

    fn merge_local_facts(&mut self, lineage_at: &LineageAt<'_>, host_facts: &mut HostFacts<'_>) {
        for parent in self.parents.iter_mut().filter(|parent| parent.verdict.needs_local_facts()) {
            // The first life is the oldest zombie, which the verdict is about.
            let id = parent.related.first().and_then(|zombie| zombie.process.entity_id.clone());
            let Some(key) =
                id.and_then(|id| TaskSelector::Entity(id).find(lineage_at, host_facts.stamp).ok())
            else {
                continue;
            };
            if let Some((verdict, _)) =
                judge_again(key, &self.made, &parent.related, None, lineage_at, host_facts)
            {
                parent.verdict = verdict;
            }
        }
    }
}
