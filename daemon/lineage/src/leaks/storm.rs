//! A process that forks too fast, or a family of processes whose members all fork.
//!
//! A build starts many processes too, but many parents share that work, each of its processes calls execve(2), and few of them live
//! at a time. So a storm is one process that forks too fast by itself, or processes that fork without execve(2), children of which
//! fork in turn over three generations and more, and many of which are alive (a fork bomb).

use std::collections::{HashMap, VecDeque};

use super::{FOLLOWED, Thresholds};
use crate::Lineage;
use crate::model::id::{GroupKey, Ktime};
use crate::model::leak::{Leak, Leaking, Storm};
use crate::model::life::Life;
use crate::store::candidates::FORKS;

/// The part of the window for which forks are counted.
const STORM_PART: u64 = 60;
/// Samples in that time.
const SAMPLES: u64 = 8;
/// In a family that forks, so many of the forks, in percent, must be without execve(2).
const WITHOUT_EXEC: usize = 75;
/// The most ancestors that are walked over.
const LEVELS: usize = 64;

/// A number that grows, at the last moments.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Ktime, u64)>);

impl Rate {
    fn add(&mut self, at: Ktime, count: u64, span_ns: u64) {
        if self.0.back().is_none_or(|(last, _)| at.since(*last) >= span_ns / SAMPLES) {
            self.0.push_back((at, count));
        }
        // The oldest sample that is kept covers the whole time.
        while self.0.get(1).is_some_and(|(second, _)| at.since(*second) >= span_ns) {
            self.0.pop_front();
        }
    }

    /// Returns since when it was counted, and by how much it grew; `None` before that covers the time.
    fn grown(&self, span_ns: u64) -> Option<(Ktime, u64)> {
        let ((since, before), (until, now)) = (*self.0.front()?, *self.0.back()?);
        (until.since(since) >= span_ns - span_ns / SAMPLES).then(|| (since, now.saturating_sub(before)))
    }
}

/// Processes that fork often.
#[derive(Debug, Default)]
pub(super) struct Storms {
    forkers: HashMap<GroupKey, Rate>,
    births: Rate,
    /// The last fork bomb that was found, and when.
    bomb: Option<(Ktime, Leak)>,
    searched: Ktime,
}

impl Storms {
    /// Begins to follow these processes.
    pub(super) fn follow(&mut self, keys: &[GroupKey], lineage: &Lineage, now: Ktime) {
        for key in keys {
            if self.forkers.contains_key(key) || self.forkers.len() >= FOLLOWED {
                continue;
            }
            let Some(sizes) = lineage.sizes(*key) else { continue };
            let mut rate = Rate::default();
            rate.add(now, sizes.forked, u64::MAX);
            self.forkers.insert(*key, rate);
        }
    }

    /// Returns the storms.
    pub(super) fn poll(&mut self, lineage: &Lineage, now: Ktime, limits: &Thresholds) -> Vec<(u64, Leak)> {
        let span_ns = limits.part(STORM_PART);
        let per_second = u64::from(limits.forks_per_second);
        let is_storm = |made: u64, since: Ktime| {
            u128::from(made) * 1_000_000_000 >= u128::from(per_second) * u128::from(now.since(since))
        };
        let mut found = Vec::new();
        self.forkers.retain(|key, rate| {
            let Some(sizes) = lineage.sizes(*key) else { return false };
            rate.add(now, sizes.forked, span_ns);
            let Some((since, made)) = rate.grown(span_ns) else { return true };
            if is_storm(made, since) {
                let alive = lineage.group(key.tgid).map_or(0, |group| {
                    let young = group.children().filter(|child| child.key().start >= Some(since));
                    young.filter(|child| lineage.sizes(child.key()).is_some()).count()
                });
                found.push((0, storm(*key, since, now, lineage, (made, alive), false)));
            }
            // It is noted again if it goes on.
            made >= FORKS / 2
        });
        self.births.add(now, lineage.store.births(), span_ns);
        let births = self.births.grown(span_ns).filter(|&(since, made)| is_storm(made, since));
        let explained: u64 = found.iter().map(|(_, leak)| u64::from(leak.count())).sum();
        if let Some((since, made)) = births.filter(|(_, made)| explained < made / 2)
            && now.since(self.searched) >= span_ns / 2
        {
            self.searched = now;
            self.bomb = bomb(lineage, since, now, made).map(|leak| (now, leak)).or(self.bomb.take());
        }
        // A bomb that has reached a limit forks no more, and its processes live on.
        self.bomb.take_if(|(at, _)| now.since(*at) >= 3 * span_ns);
        found.extend(self.bomb.iter().map(|(_, leak)| (1, leak.clone())));
        found
    }
}

fn storm(
    culprit: GroupKey,
    since: Ktime,
    seen: Ktime,
    lineage: &Lineage,
    (made, alive): (u64, usize),
    spreads: bool,
) -> Leak {
    let group = lineage.group(culprit.tgid);
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Leak {
        culprit,
        name: group.and_then(|group| group.name()),
        cgroup_id: group.and_then(|group| group.cgroup_id()),
        since,
        seen,
        what: Leaking::Storm(Storm { made: number(made), alive: number(alive as u64), spreads }),
    }
}

/// Returns the youngest process that is older than `since` and from which most of the younger processes descend, if these fork
/// without execve(2). Costs O(processes that live or are remembered): called when there are far too many forks.
fn bomb(lineage: &Lineage, since: Ktime, now: Ktime, made: u64) -> Option<Leak> {
    let is_young = |key: GroupKey| key.start.is_some_and(|start| start >= since);
    let living = lineage.groups().filter(|group| is_young(group.key())).filter_map(|group| group.life(now));
    let young: HashMap<GroupKey, Life> = living
        .chain(lineage.dead_lives().filter(|life| is_young(life.key)))
        .map(|life| (life.key, life))
        .collect();
    let mut origins: HashMap<GroupKey, (usize, usize, usize, usize)> = HashMap::new();
    for life in young.values() {
        let (mut origin, mut depth) = (life.first_parent.or(life.parent), 1);
        while let Some(parent) = origin.and_then(|key| young.get(&key)).filter(|_| depth < LEVELS) {
            origin = parent.first_parent.or(parent.parent);
            depth += 1;
        }
        let Some(origin) = origin else { continue };
        let (all, plain, deep, alive) = origins.entry(origin).or_default();
        *all += 1;
        *plain += usize::from(life.execs == 0);
        *deep += usize::from(depth > 2);
        *alive += usize::from(life.ended_at.is_none() && life.released_at.is_none());
    }
    let (origin, (all, plain, deep, alive)) =
        origins.into_iter().max_by_key(|(key, counts)| (counts.0, *key))?;
    // A server that forks its workers has two generations, and of a build hardly anything is left.
    let is_most =
        2 * all >= young.len() && 100 * plain >= WITHOUT_EXEC * all && 2 * deep >= all && 4 * alive >= all;
    let share = u64::try_from(all).unwrap_or(u64::MAX);
    let made = made.saturating_mul(share) / u64::try_from(young.len()).unwrap_or(1).max(1);
    let above = |key: &GroupKey| {
        let life = lineage.life_by_key(*key, now)?;
        life.first_parent.or(life.parent)
    };
    // The first of the family may have ended.
    let mut line = std::iter::successors(Some(origin), above).take(LEVELS);
    let culprit = line.find(|key| lineage.sizes(*key).is_some()).filter(|_| is_most)?;
    Some(storm(culprit, since, now, lineage, (made, alive), true))
}
