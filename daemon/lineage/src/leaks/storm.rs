//! A process that forks too fast, or a family of processes whose members all fork.
//!
//! A build starts many processes too, but many parents share that work, each of its processes calls execve(2), and few of them live
//! at a time. So a storm is one process that forks too fast by itself, or a fork bomb: processes that fork over
//! three or more generations without execve(2), and of which many are alive at a time.

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
/// In a fork bomb, at least this share of the processes has not called execve(2), percent.
const WITHOUT_EXEC: usize = 75;
/// The most young processes that are checked: the living ones first.
const YOUNG: usize = 1 << 16;
/// The most ancestors that are walked over.
pub(super) const LEVELS: usize = 64;

/// The latest samples of a number that only grows.
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

    /// Returns when the count began and by how much it grew; `None` until it covers the whole time.
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
            // A parent that continues to fork is noted again.
            made >= FORKS / 2
        });
        self.births.add(now, lineage.store.births(), span_ns);
        let explained: u64 = found.iter().map(|(_, leak)| u64::from(leak.count())).sum();
        let births = self.births.grown(span_ns);
        let others = births.filter(|(since, made)| is_storm(made.saturating_sub(explained), *since));
        if let Some((since, _)) = others.filter(|_| now.since(self.searched) >= span_ns / 2) {
            self.searched = now;
            // Records are applied some time after the forks that they report.
            let born = Ktime(since.0.saturating_sub(span_ns));
            let bomb = bomb(lineage, born, (since, now), is_storm);
            self.bomb = bomb.map(|leak| (now, leak)).or(self.bomb.take());
        }
        // A bomb that has reached a limit hardly forks any more, and its processes live on.
        self.bomb.take_if(|(at, leak)| now.since(*at) >= 3 * span_ns && !lives_on(at, leak, lineage, now));
        found.extend(self.bomb.iter().map(|(_, leak)| (1, leak.clone())));
        found
    }
}

/// Whether enough processes descend from the culprit for it to be a bomb still. If so, notes their number and the time. Costs
/// O(processes).
fn lives_on(at: &mut Ktime, leak: &mut Leak, lineage: &Lineage, now: Ktime) -> bool {
    let born = leak.bomb_born();
    let Leaking::Storm(storm) = &mut leak.what else { return false };
    if lineage.sizes(leak.culprit).is_none() {
        return false;
    }
    let alive = lineage.descent_from(leak.culprit, born, now).members.len() as u64;
    storm.alive = u32::try_from(alive).unwrap_or(u32::MAX);
    *at = now;
    4 * alive >= u64::from(storm.made)
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

/// Returns the process that forked it.
pub(super) fn parent(life: &Life) -> Option<GroupKey> {
    life.first_parent.or(life.parent)
}

/// What a search for a bomb needs of a young process. A whole life is ten times as large, and a storm may leave little memory.
struct Young {
    parent: Option<GroupKey>,
    is_without_exec: bool,
    is_alive: bool,
}

impl Young {
    fn of(life: &Life) -> Self {
        Self {
            parent: parent(life),
            is_without_exec: life.execs == 0,
            is_alive: life.ended_at.is_none() && life.released_at.is_none(),
        }
    }
}

/// Counts of the young descendants of one process.
#[derive(Clone, Copy, Debug, Default)]
struct Family {
    all: usize,
    without_exec: usize,
    /// Descendants in the third generation or a later one.
    deep: usize,
    alive: usize,
}

impl Family {
    /// Whether this is a fork bomb. Workers of a server are only two generations, and a build has hardly any processes alive.
    const fn is_bomb(&self) -> bool {
        let Self { all, without_exec, deep, alive } = *self;
        100 * without_exec >= WITHOUT_EXEC * all && 2 * deep >= all && 4 * alive >= all
    }
}

/// Returns the leak of the family that forked most processes since `born`, if these fork without execve(2). Costs O(processes that live
/// or are remembered): called when there are far too many forks.
fn bomb(
    lineage: &Lineage,
    born: Ktime,
    (since, now): (Ktime, Ktime),
    is_storm: impl Fn(u64, Ktime) -> bool,
) -> Option<Leak> {
    let is_young = |key: GroupKey| key.start.is_some_and(|start| start >= born);
    let living = lineage.groups().filter(|group| is_young(group.key())).filter_map(|group| group.life(now));
    let dead = lineage.dead_lives().filter(|life| is_young(life.key));
    let young: HashMap<GroupKey, Young> =
        living.chain(dead).take(YOUNG).map(|life| (life.key, Young::of(&life))).collect();
    // Families by the older process from which they descend; and for each young process, how many descend from it.
    let mut families: HashMap<GroupKey, Family> = HashMap::new();
    let mut below: HashMap<GroupKey, (GroupKey, usize)> = HashMap::new();
    for (key, process) in &young {
        let mut line = vec![*key];
        let mut next = process.parent;
        while let Some((key, above)) = next.and_then(|key| young.get_key_value(&key))
            && line.len() < LEVELS
        {
            line.push(*key);
            next = above.parent;
        }
        let Some(origin) = next else { continue };
        let family = families.entry(origin).or_default();
        family.all += 1;
        family.without_exec += usize::from(process.is_without_exec);
        family.deep += usize::from(line.len() > 2);
        family.alive += usize::from(process.is_alive);
        for key in line.into_iter().skip(1) {
            below.entry(key).or_insert((origin, 0)).1 += 1;
        }
    }
    let bombs =
        families.into_iter().filter(|(_, family)| family.is_bomb() && is_storm(family.all as u64, since));
    let (origin, family) = bombs.max_by_key(|(key, family)| (family.all, *key))?;
    // The youngest process from which nearly all of the family descend.
    let from_whom = below.iter().filter(|(_, (of, count))| *of == origin && 10 * count >= 9 * family.all);
    let first = from_whom.min_by_key(|(key, (_, count))| (*count, **key)).map_or(origin, |(key, _)| *key);
    // That process may have ended.
    let above = |key: &GroupKey| parent(&lineage.life_by_key(*key, now)?);
    let mut line = std::iter::successors(Some(first), above).take(LEVELS);
    let culprit = line.find(|key| lineage.sizes(*key).is_some())?;
    Some(storm(culprit, since, now, lineage, (family.all as u64, family.alive), true))
}
