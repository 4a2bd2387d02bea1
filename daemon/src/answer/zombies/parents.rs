//! Groups zombies by the parent that has not waited for them, and finds the reason.

use std::collections::HashMap;

use super::{Zombie, ZombieFilter, ZombieParent, Zombies, not_zombies::NotZombies};
use crate::{
    answer::{
        ExplainDraft, HostFacts, LineageAt, Made,
        limits::LimitsDraft,
        place::AnswerPlace,
        process::{Process, ProcessRef},
        task::{Children, ZombieAge},
        verdict::AnswerVerdict,
    },
    lineage::{
        Life,
        id::{GroupKey, Ktime},
    },
    verdict::{self, Code},
};

/// The most parents that are listed, those with most zombies first; the rest are counted.
const MOST_PARENTS: usize = 100;

/// The most zombies of one parent that are named, the oldest first.
const MOST_CHILDREN: usize = 5;

/// The time over which the rate is computed, ns.
const RATE_WINDOW_NS: u64 = 60_000_000_000;

/// The shortest observation that gives a rate, ns.
const RATE_AT_LEAST_NS: u64 = 5_000_000_000;

/// Zombies younger than this, ns, do not count for the rate.
const YOUNG_NS: u64 = 1_000_000_000;

/// The part that comes from the lineage.
pub struct ZombiesDraft {
    now: Ktime,
    observed_since: Option<Ktime>,
    zombies: u64,
    reap_debt_ns: u64,
    parents: Vec<Owing>,
    left_off: u64,
    others: NotZombies,
    limits: LimitsDraft,
}

struct Owing {
    life: Life,
    zombies: u32,
    new: u32,
    reap_debt_ns: u64,
    oldest: Vec<Life>,
    case: ExplainDraft,
}

#[derive(Default)]
struct Gathered {
    zombies: u32,
    new: u32,
    /// The sum of the ages.
    reap_debt_ns: u64,
    /// Sorted by age, the oldest first, and bounded.
    oldest: Vec<(Ktime, GroupKey)>,
}

impl Gathered {
    fn add(&mut self, since: Ktime, key: GroupKey) {
        let at = self.oldest.partition_point(|&(other, _)| other <= since);
        if at < MOST_CHILDREN {
            self.oldest.insert(at, (since, key));
            self.oldest.truncate(MOST_CHILDREN);
        }
    }
}

impl ZombiesDraft {
    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let parents = self.parents.iter().filter_map(|parent| parent.life.cgroup_id);
        parents.chain(self.limits.cgroups()).collect()
    }

    /// Groups zombies by parent. Costs O(zombies).
    #[must_use]
    pub fn of(
        lineage_at: &LineageAt<'_>,
        filter: &ZombieFilter,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
    ) -> Self {
        let now = lineage_at.now;
        let window = Ktime(now.0.saturating_sub(RATE_WINDOW_NS));
        let mut by_parent: HashMap<GroupKey, Gathered> = HashMap::new();
        let mut wanted: HashMap<Option<u64>, bool> = HashMap::new();
        let (mut zombies, mut reap_debt_ns) = (0, 0_u64);
        for zombie in lineage_at.lineage.zombies() {
            let (Some(since), Some(parent)) = (zombie.zombie_since(), zombie.parent()) else { continue };
            if now.since(since) < filter.min_age_ns {
                continue;
            }
            let cgroup = parent.cgroup_id();
            let is_wanted =
                wanted.entry(cgroup).or_insert_with(|| filter.wants(|| cgroup.and_then(&mut *places)));
            if !*is_wanted {
                continue;
            }
            zombies += 1;
            reap_debt_ns = reap_debt_ns.saturating_add(now.since(since));
            let gathered = by_parent.entry(parent.key()).or_default();
            gathered.zombies += 1;
            gathered.reap_debt_ns = gathered.reap_debt_ns.saturating_add(now.since(since));
            // Most of the youngest zombies are about to be reaped.
            let is_new = since >= window
                && now.since(since) >= YOUNG_NS
                && lineage_at.observed_since.is_some_and(|began| since > began);
            gathered.new += u32::from(is_new);
            // For zombies that a snapshot found, the start of the process says more than the time of the snapshot.
            let age = if lineage_at.observed_since.is_some_and(|began| since > began) {
                since
            } else {
                zombie.key().start.unwrap_or(since)
            };
            gathered.add(age, zombie.key());
        }
        let mut all: Vec<(GroupKey, Gathered)> = by_parent.into_iter().collect();
        all.sort_by_key(|(key, gathered)| {
            (std::cmp::Reverse(gathered.zombies), gathered.oldest.first().map(|&(since, _)| since), *key)
        });
        let left_off = all.len().saturating_sub(MOST_PARENTS) as u64;
        all.truncate(MOST_PARENTS);
        let parents =
            all.into_iter().filter_map(|(key, gathered)| owing(key, &gathered, lineage_at)).collect();
        Self {
            now,
            observed_since: lineage_at.observed_since,
            zombies,
            reap_debt_ns,
            parents,
            left_off,
            others: NotZombies::of(lineage_at),
            limits: LimitsDraft::of(lineage_at),
        }
    }

    /// Completes it from /proc, and drops zombies that are gone by now.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Zombies {
        let stamp = host_facts.stamp;
        let window_ns = self.observed_since.map(|since| self.now.since(since).min(RATE_WINDOW_NS));
        let (mut gone, mut gone_debt_ns) = (0, 0_u64);
        let mut parents = Vec::new();
        for owing in self.parents {
            let is_there = |life: &Life| {
                life.key.start.is_none_or(|start| !host_facts.procfs.is_zombie_gone(life.key.tgid, start))
            };
            // If releases can be missed, these zombies and more were looked up before the query.
            if !owing.oldest.iter().any(is_there) {
                gone += u64::from(owing.zombies);
                gone_debt_ns = gone_debt_ns.saturating_add(owing.reap_debt_ns);
                continue;
            }
            parents.push(zombie_parent(owing, self.now, window_ns, host_facts));
        }
        // A parent whose zombies are all young is listed last.
        let is_early = |parent: &ZombieParent| parent.verdict.code == Code::JustDied.name();
        parents.sort_by_key(is_early);
        let early = parents.iter().filter(|parent| is_early(parent));
        let just_died = early.map(|parent| u64::from(parent.children.zombies)).sum();
        let (dead_leaders, stuck_exits) = self.others.finish(host_facts);
        let mut full_limits = self.limits.finish(host_facts).limits;
        full_limits.retain(|limit| limit.full);
        Zombies {
            made: Made::at(self.now, self.observed_since, stamp),
            zombies: self.zombies.saturating_sub(gone),
            just_died,
            reap_debt_ns: self.reap_debt_ns.saturating_sub(gone_debt_ns),
            parents,
            parents_left_off: self.left_off,
            dead_leaders,
            stuck_exits,
            full_limits,
        }
    }
}

fn owing(key: GroupKey, gathered: &Gathered, lineage_at: &LineageAt<'_>) -> Option<Owing> {
    let life = lineage_at.lineage.life_by_key(key, lineage_at.now)?;
    let oldest: Vec<Life> = gathered
        .oldest
        .iter()
        .filter_map(|&(_, child)| lineage_at.lineage.life_by_key(child, lineage_at.now))
        .collect();
    let case = ExplainDraft::of(oldest.first()?.key, lineage_at)?;
    Some(Owing {
        life,
        zombies: gathered.zombies,
        new: gathered.new,
        reap_debt_ns: gathered.reap_debt_ns,
        oldest,
        case,
    })
}

fn zombie_parent(
    owing: Owing,
    now: Ktime,
    window_ns: Option<u64>,
    host_facts: &mut HostFacts<'_>,
) -> ZombieParent {
    let stamp = host_facts.stamp;
    let zombies: Vec<Zombie> = owing
        .oldest
        .iter()
        .filter_map(|life| {
            Some(Zombie {
                process: ProcessRef::by(life.key, life.name, stamp),
                exit: Process::of(life, stamp).exit,
                age: ZombieAge::of(life, now)?,
            })
        })
        .collect();
    // For zombies whose beginning was not seen, the oldest process is not necessarily the oldest zombie.
    let least = zombies.iter().map(|zombie| zombie.age.zombie_at_least_ns).max().unwrap_or_default();
    let most = zombies.iter().map(|zombie| zombie.age.zombie_at_most_ns).max().unwrap_or_default();
    let mut children = Children::of(&owing.life).unwrap_or_default();
    children.zombies = owing.zombies;
    let related = owing.case.related(host_facts);
    let facts = owing.case.finish(host_facts.procfs);
    ZombieParent {
        process: Process::of(&owing.life, stamp),
        place: owing.life.cgroup_id.and_then(|id| (host_facts.places)(id)),
        children,
        zombies_per_minute: window_ns.filter(|&window| window >= RATE_AT_LEAST_NS).map(|window| {
            #[expect(clippy::cast_precision_loss, reason = "a rate for eyes")]
            let minutes = window as f64 / RATE_WINDOW_NS as f64;
            (f64::from(owing.new) / minutes * 10.0).round() / 10.0
        }),
        oldest: ZombieAge { zombie_at_least_ns: least, zombie_at_most_ns: most },
        verdict: AnswerVerdict::of(verdict::judge(&facts), stamp),
        oldest_zombies: zombies,
        related,
    }
}
