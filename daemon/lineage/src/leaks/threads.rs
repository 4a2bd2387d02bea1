//! A process whose threads only grow.
//!
//! Two series of samples are kept of each process. One has the last samples, an eighth of the window apart, and finds a fast leak
//! soon. The other covers all the time since the process was first followed: once it is full, every second sample is dropped. It
//! finds a leak of a few threads an hour.

use std::collections::HashMap;

use super::sizes::Sizes;
use super::{FOLLOWED, Thresholds};
use crate::Lineage;
use crate::model::id::{GroupKey, Ktime};
use crate::model::leak::{GrowingThreads, Leak, Leaking};

/// Intervals of a series.
const INTERVALS: usize = 8;
/// The number of threads must grow in this many successive intervals. A pool that fills up grows in fewer.
const GROWING: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Ktime,
    sizes: Sizes,
}

/// The number of threads over time.
#[derive(Debug)]
struct Series {
    /// The oldest first.
    samples: Vec<Sample>,
    every_ns: u64,
    /// Whether a full series drops every second sample; else its oldest.
    widens: bool,
}

#[derive(Debug)]
struct Growth {
    series: [Series; 2],
    /// The most threads so far, and when that number was reached.
    most: (u32, Ktime),
    /// When the growth became a leak, and how many threads there were then; `None` while it is no leak.
    leaks: Option<Sample>,
}

/// The processes with many threads.
#[derive(Debug, Default)]
pub(super) struct Growths(HashMap<GroupKey, Growth>);

impl Growths {
    /// Begins to follow these processes.
    pub(super) fn follow(&mut self, keys: &[GroupKey], lineage: &Lineage, now: Ktime) {
        for key in keys {
            if self.0.contains_key(key) {
                continue;
            }
            let Some(sizes) = lineage.sizes(*key) else { continue };
            if self.0.len() >= FOLLOWED {
                // Drop the process that has not grown for the longest time; it is noted again when it grows.
                let flat = self.0.iter().filter(|(_, growth)| growth.leaks.is_none());
                let Some(flat) = flat.min_by_key(|(key, growth)| (growth.most.1, **key)) else { continue };
                let flat = *flat.0;
                self.0.remove(&flat);
            }
            self.0.insert(*key, Growth::new(Sample { at: now, sizes }));
        }
    }

    /// Returns the leaks among them.
    pub(super) fn poll(&mut self, lineage: &Lineage, now: Ktime, limits: &Thresholds) -> Vec<(u64, Leak)> {
        let mut found = Vec::new();
        self.0.retain(|key, growth| {
            let Some(sizes) = lineage.sizes(*key) else { return false };
            if let Some(threads) = growth.poll(Sample { at: now, sizes }, limits) {
                let group = lineage.group(key.tgid);
                let since = growth.leaks.map_or(now, |first| first.at);
                found.push((
                    0,
                    Leak {
                        culprit: *key,
                        name: group.and_then(|group| group.name()),
                        cgroup_id: group.and_then(|group| group.cgroup_id()),
                        since,
                        seen: now,
                        what: Leaking::Threads(threads),
                    },
                ));
            }
            true
        });
        found
    }
}

impl Growth {
    fn new(first: Sample) -> Self {
        let series = |widens| Series { samples: vec![first], every_ns: 0, widens };
        Self { series: [series(false), series(true)], most: (first.sizes.live, first.at), leaks: None }
    }

    fn poll(&mut self, now: Sample, limits: &Thresholds) -> Option<GrowingThreads> {
        let least_ns = limits.part(INTERVALS as u64);
        for series in &mut self.series {
            series.add(now, least_ns);
        }
        if now.sizes.live > self.most.0 {
            self.most = (now.sizes.live, now.at);
        }
        if let Some(first) = self.leaks {
            // The leak is over once the process has not grown for as long as it took to find the leak.
            let over_after_ns = limits.part(1).max(now.at.since(first.at) / GROWING as u64);
            let grown = GrowingThreads::between(first, now);
            if now.at.since(self.most.1) < over_after_ns && grown.hardly_any_ended() {
                return Some(grown);
            }
            *self = Self::new(now);
            return None;
        }
        let first = self.series.iter().find_map(|series| series.grows(now, limits))?;
        self.leaks = Some(first);
        Some(GrowingThreads::between(first, now))
    }
}

impl Series {
    fn add(&mut self, now: Sample, least_ns: u64) {
        self.every_ns = self.every_ns.max(least_ns);
        let Some(last) = self.samples.last() else { return };
        if now.at.since(last.at) < self.every_ns {
            return;
        }
        self.samples.push(now);
        if self.samples.len() <= INTERVALS + 1 {
            return;
        }
        if self.widens {
            let mut place = 0;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every_ns = self.every_ns.saturating_mul(2);
        } else {
            self.samples.drain(..1);
        }
    }

    /// Returns the sample since which the threads grow in each interval, if that is a leak.
    fn grows(&self, now: Sample, limits: &Thresholds) -> Option<Sample> {
        let grows = |pair: &&[Sample]| match pair {
            [earlier, later] => later.sizes.live > earlier.sizes.live,
            _ => false,
        };
        let intervals = self.samples.windows(2).rev().take_while(grows).count();
        let first = *self.samples.iter().rev().nth(intervals)?;
        let threads = GrowingThreads::between(first, now);
        let is_long = intervals >= GROWING && now.at.since(first.at) >= limits.part(2);
        (is_long && threads.grown >= limits.threads && threads.hardly_any_ended()).then_some(first)
    }
}

impl GrowingThreads {
    fn between(first: Sample, now: Sample) -> Self {
        let grown = now.sizes.live.saturating_sub(first.sizes.live);
        let created = now.sizes.created.saturating_sub(first.sizes.created);
        Self { live: now.sizes.live, grown, ended: created.saturating_sub(grown) }
    }

    /// Whether at most one of ten threads that were created has ended.
    const fn hardly_any_ended(&self) -> bool {
        self.ended.saturating_mul(9) <= self.grown
    }
}
