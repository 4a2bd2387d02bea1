//! Who owes waits: zombies by parent, with the reason; and who only looks like a zombie.

use std::{collections::HashMap, thread::sleep, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Draft, Made, Outside, Scene, Sharpen,
    place::Place,
    process::{Exit, Process, ProcessRef},
    task::{Children, ZombieAge},
    verdict::Verdict,
};
use crate::lineage::{
    Life, LifeState, TaskState,
    explain::{self, Code, facts::Named},
    flags::PF_EXITING,
    id::{GroupKey, Ktime},
};
use crate::procfs::{NS_PER_TICK, Procfs};

/// Parents told of in full, the worst first; the rest are counted.
const MOST_PARENTS: usize = 100;

/// Zombies of one parent that are named, the oldest first.
const MOST_CHILDREN: usize = 5;

/// Dead leaders and stuck exits that are named, each.
const MOST_OTHERS: usize = 50;

/// Over this time the rate is taken.
const RATE_WINDOW_NS: u64 = 60_000_000_000;

/// Of a shorter time no rate is taken.
const RATE_AT_LEAST_NS: u64 = 5_000_000_000;

/// Younger ones do not count for it.
const YOUNG_NS: u64 = 1_000_000_000;

/// An exit is stuck after this long.
const STUCK_AFTER_NS: u64 = 10_000_000_000;

/// Without observation an exit is taken for stuck if it has not ended after this; a large memory takes its time.
const EXITS_WITHIN: Duration = Duration::from_millis(300);

/// The answer to `/v1/zombies`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zombies {
    /// When.
    #[serde(flatten)]
    pub made: Made,
    /// How many zombies there are.
    pub zombies: u64,
    /// How many of them died just now, so that nobody is late yet.
    pub just_died: u64,
    /// Those who owe them a wait, the worst first.
    pub parents: Vec<Debtor>,
    /// Parents left off, where there are very many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parents_left_off: u64,
    /// Not zombies: their main thread has ended, others live.
    pub dead_leaders: Vec<Other>,
    /// In `do_exit()` for long.
    pub stuck_exits: Vec<Other>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A parent that owes waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Debtor {
    /// Who.
    pub process: Process,
    /// Where it lives.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Its account.
    pub children: Children,
    /// How many zombies it adds a minute: those of the last minute that are still there. Absent without observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombies_per_minute: Option<f64>,
    /// How long the oldest of them has waited.
    #[serde(flatten)]
    pub oldest: ZombieAge,
    /// Why, of the oldest.
    pub verdict: Verdict,
    /// The oldest.
    pub oldest_zombies: Vec<Zombie>,
}

/// A zombie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zombie {
    /// Who.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// What wait(2) would say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// For how long.
    #[serde(flatten)]
    pub age: ZombieAge,
}

/// Dead leader or stuck exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Who.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// Its threads besides the leader.
    pub threads_left: u32,
    /// For how long at least, ns; absent without observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_at_least_ns: Option<u64>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only zombies at least this old, as far as that is known, ns.
    pub min_age_ns: u64,
}

/// The part that comes from the lineage.
pub struct ZombiesDraft {
    now: Ktime,
    observed_since: Option<Ktime>,
    zombies: u64,
    parents: Vec<Owing>,
    left_off: u64,
    dead_leaders: Vec<(Named, u32, u64)>,
    stuck_exits: Vec<(Named, u32, u64)>,
}

struct Owing {
    life: Life,
    zombies: u32,
    new: u32,
    oldest: Vec<Life>,
    case: Draft,
}

#[derive(Default)]
struct Gathered {
    zombies: u32,
    new: u32,
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

impl Zombies {
    /// How many of them somebody is late with.
    #[must_use]
    pub const fn overdue(&self) -> u64 {
        self.zombies.saturating_sub(self.just_died)
    }
}

impl Sharpen for Zombies {
    fn is_blunt(&self) -> bool {
        self.parents.iter().any(|parent| parent.verdict.is_blunt())
    }

    fn sharpen(&mut self, by: Self) {
        for parent in &mut self.parents {
            let same = by.parents.iter().find(|other| other.process.entity_id == parent.process.entity_id);
            if let Some(other) = same {
                parent.verdict.sharpen(other.verdict.clone());
            }
        }
    }
}

impl ZombiesDraft {
    /// Cgroups whose places are wanted.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        self.parents.iter().filter_map(|parent| parent.life.cgroup_id).collect()
    }

    /// Gathers who owes whom. A step a zombie.
    #[must_use]
    pub fn of(scene: &Scene<'_>, filter: Filter) -> Self {
        let now = scene.now;
        let window = Ktime(now.0.saturating_sub(RATE_WINDOW_NS));
        let mut by_parent: HashMap<GroupKey, Gathered> = HashMap::new();
        let mut zombies = 0;
        for zombie in scene.lineage.zombies() {
            let (Some(since), Some(parent)) = (zombie.zombie_since(), zombie.parent()) else { continue };
            if now.since(since) < filter.min_age_ns {
                continue;
            }
            zombies += 1;
            let gathered = by_parent.entry(parent.key()).or_default();
            gathered.zombies += 1;
            // The youngest are about to be reaped, most of them.
            let is_new = since >= window
                && now.since(since) >= YOUNG_NS
                && scene.observed_since.is_some_and(|began| since > began);
            gathered.new += u32::from(is_new);
            // Of those found by a snapshot the start tells more than when they were found.
            let age = if scene.observed_since.is_some_and(|began| since > began) {
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
        let parents = all.into_iter().filter_map(|(key, gathered)| owing(key, &gathered, scene)).collect();
        let (dead_leaders, stuck_exits) = others(scene);
        Self {
            now,
            observed_since: scene.observed_since,
            zombies,
            parents,
            left_off,
            dead_leaders,
            stuck_exits,
        }
    }

    /// Completes it from /proc. Zombies that are gone meanwhile were none that anybody owes.
    #[must_use]
    pub fn finish(self, outside: &mut Outside<'_>) -> Zombies {
        let stamp = outside.stamp;
        let window_ns = self.observed_since.map(|since| self.now.since(since).min(RATE_WINDOW_NS));
        let mut gone = 0;
        let mut parents = Vec::new();
        for owing in self.parents {
            let is_there = |life: &Life| {
                life.key.start.is_none_or(|start| outside.procfs.is_still_zombie(life.key.tgid, start))
            };
            if !owing.oldest.iter().any(is_there) && owing.zombies as usize <= MOST_CHILDREN {
                gone += u64::from(owing.zombies);
                continue;
            }
            parents.push(debtor(owing, self.now, window_ns, outside));
        }
        if self.observed_since.is_none() && !self.stuck_exits.is_empty() {
            sleep(EXITS_WITHIN);
        }
        let mut stuck_exits = self.stuck_exits;
        stuck_exits.retain(|(named, ..)| is_exiting(named.key, outside.procfs));
        // Whoever has only just been told is not the first to look at.
        let is_early = |parent: &Debtor| parent.verdict.code == Code::JustDied.name();
        parents.sort_by_key(is_early);
        let early = parents.iter().filter(|parent| is_early(parent));
        let just_died = early.map(|parent| u64::from(parent.children.zombies)).sum();
        let other = |(named, threads_left, for_at_least_ns): &(Named, u32, u64)| Other {
            process: ProcessRef::of(named, stamp),
            threads_left: *threads_left,
            for_at_least_ns: self.observed_since.map(|_| *for_at_least_ns),
        };
        Zombies {
            made: Made::at(self.now, self.observed_since, stamp),
            zombies: self.zombies.saturating_sub(gone),
            just_died,
            parents,
            parents_left_off: self.left_off,
            dead_leaders: self.dead_leaders.iter().map(other).collect(),
            stuck_exits: stuck_exits.iter().map(other).collect(),
        }
    }
}

fn owing(key: GroupKey, gathered: &Gathered, scene: &Scene<'_>) -> Option<Owing> {
    let life = scene.lineage.life_by_key(key, scene.now)?;
    let oldest: Vec<Life> = gathered
        .oldest
        .iter()
        .filter_map(|&(_, child)| scene.lineage.life_by_key(child, scene.now))
        .collect();
    let case = Draft::of(oldest.first()?.key, scene)?;
    Some(Owing { life, zombies: gathered.zombies, new: gathered.new, oldest, case })
}

fn debtor(owing: Owing, now: Ktime, window_ns: Option<u64>, outside: &mut Outside<'_>) -> Debtor {
    let stamp = outside.stamp;
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
    // Of those whose beginning was not seen, the oldest by start need not have waited the longest.
    let least = zombies.iter().map(|zombie| zombie.age.zombie_at_least_ns).max().unwrap_or_default();
    let most = zombies.iter().map(|zombie| zombie.age.zombie_at_most_ns).max().unwrap_or_default();
    let mut children = Children::of(&owing.life).unwrap_or_default();
    children.zombies = owing.zombies;
    let facts = owing.case.finish(outside.procfs);
    Debtor {
        process: Process::of(&owing.life, stamp),
        place: owing.life.cgroup_id.and_then(|id| (outside.places)(id)),
        children,
        zombies_per_minute: window_ns.filter(|&window| window >= RATE_AT_LEAST_NS).map(|window| {
            #[expect(clippy::cast_precision_loss, reason = "a rate for eyes")]
            let minutes = window as f64 / RATE_WINDOW_NS as f64;
            (f64::from(owing.new) / minutes * 10.0).round() / 10.0
        }),
        oldest: ZombieAge { zombie_at_least_ns: least, zombie_at_most_ns: most },
        verdict: Verdict::of(explain::judge(&facts), stamp),
        oldest_zombies: zombies,
    }
}

type Others = Vec<(Named, u32, u64)>;

/// Dead leaders and stuck exits.
fn others(scene: &Scene<'_>) -> (Others, Others) {
    let (mut leaders, mut stuck) = (Vec::new(), Vec::new());
    let census = scene.lineage.census();
    if scene.lineage.dead_leader_count() == 0 && census.of(TaskState::Exiting) == 0 {
        return (leaders, stuck);
    }
    for group in scene.lineage.groups() {
        let Some(life) = group.life(scene.now) else { continue };
        let entry = |since: Ktime| {
            let at_least = scene.now.since(since);
            (Named::from(&life), life.threads.saturating_sub(1), at_least)
        };
        match life.state {
            LifeState::DeadLeader => leaders.push(entry(life.leader_died_at.unwrap_or(life.since))),
            // Found in its exit by the only look there was, it may just be on its way: /proc will tell.
            LifeState::Exiting
                if scene.observed_since.is_none() || scene.now.since(life.since) >= STUCK_AFTER_NS =>
            {
                stuck.push(entry(life.since));
            }
            _ => {}
        }
    }
    leaders.truncate(MOST_OTHERS);
    stuck.truncate(MOST_OTHERS);
    (leaders, stuck)
}

/// Whether a process is in its exit still, and no zombie.
fn is_exiting(key: GroupKey, procfs: &Procfs) -> bool {
    let stat = procfs.stat(key.tgid).ok().flatten();
    stat.is_some_and(|stat| {
        stat.flags & PF_EXITING != 0
            && stat.state != b'Z'
            && key.start.is_none_or(|start| start.0 / NS_PER_TICK == stat.start_ticks)
    })
}
