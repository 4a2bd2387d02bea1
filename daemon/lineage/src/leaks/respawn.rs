//! A program that a parent or a unit starts again and again, and that fails quickly each time.
//!
//! Each start must come soon after the end before it, so `make -j` and a server that forks its workers do not count. Between two
//! ends the parent must fork nothing else, so a script with one failing program among many does not count. A service manager is
//! exempt from that rule, because it starts each program in a unit of its own.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::{FOLLOWED, Thresholds};
use crate::Lineage;
use crate::model::comm::Comm;
use crate::model::death::{Cause, GroupDeath, ScopeName};
use crate::model::id::{GroupKey, Ktime};
use crate::model::leak::{Leak, Leaking, Respawn};
use crate::model::path_name::PathName;
use crate::model::status::WaitStatus;

/// How many of the last ends are kept, with their times and causes.
const KEPT: usize = 16;
/// Fractions of the window: a program that lives for longer than 1/60 of it does not end quickly; a pause of more than 1/40 is not a
/// restart; the loop must last for 1/20.
const LIFE_PART: u64 = 60;
const PAUSE_PART: u64 = 40;
const LASTS_PART: u64 = 20;

/// A parent or a unit, and the program that it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Starter {
    parent: GroupKey,
    /// The unit, if the program is at the top of it.
    unit: Option<ScopeName>,
    program: Option<Comm>,
}

/// One end of the program.
#[derive(Clone, Copy, Debug)]
struct End {
    life_ns: u64,
    pause_ns: Option<u64>,
    cause: Cause,
    status: Option<WaitStatus>,
}

/// Ends that followed one another.
#[derive(Debug)]
struct Series {
    began: Ktime,
    last: Ktime,
    last_key: GroupKey,
    path: Option<Arc<PathName>>,
    cgroup_id: Option<u64>,
    ends: u32,
    /// How many children the parent had forked when the count of forks beside the restarts began; `None` if they are not counted.
    forked_before: Option<u64>,
    ends_beside: u64,
    kept: VecDeque<End>,
}

/// Programs that ended quickly.
#[derive(Debug, Default)]
pub(super) struct Respawns {
    series: HashMap<Starter, Series>,
    /// The last end that was taken from the lineage.
    taken: Option<GroupKey>,
}

impl Respawns {
    /// Takes the ends since the last poll, and returns the loops.
    pub(super) fn poll(&mut self, lineage: &Lineage, now: Ktime, limits: &Thresholds) -> Vec<(u64, Leak)> {
        let is_new = |death: &&Arc<GroupDeath>| Some(death.key) != self.taken;
        let new: Vec<_> = lineage.deaths().take_while(is_new).map(Arc::clone).collect();
        self.taken = new.first().map_or(self.taken, |last| Some(last.key));
        for death in new.iter().rev().filter(|death| death.is_failure()) {
            self.take(death, limits);
        }
        let pause_ns = limits.part(PAUSE_PART);
        let mut found = Vec::new();
        self.series.retain(|starter, series| {
            // The next end may be as far away as a long life after a long pause.
            if now.since(series.last) > limits.part(LIFE_PART) + 2 * pause_ns {
                return false;
            }
            let is_parent = |key: GroupKey| lineage.group(key.tgid).is_some_and(|group| group.key() == key);
            if series.is_loop(starter, limits) && is_parent(starter.parent) {
                found.push((discriminator(starter), series.leak(starter, lineage)));
            }
            true
        });
        found
    }

    fn take(&mut self, death: &GroupDeath, limits: &Thresholds) {
        let (Some(start), Some(parent)) = (death.key.start, death.parent) else { return };
        if parent.tgid.0 == 0 {
            return;
        }
        let unit = death.scope.clone().filter(|_| death.is_top);
        let starter = Starter { parent, unit, program: death.name };
        for (other, series) in &mut self.series {
            series.ends_beside += u64::from(other.parent == parent && *other != starter);
        }
        let life_ns = death.at.since(start);
        if life_ns > limits.part(LIFE_PART) {
            self.series.remove(&starter);
            return;
        }
        let end = End { life_ns, pause_ns: None, cause: death.cause, status: death.status };
        if let Some(series) = self.series.get_mut(&starter)
            && start >= series.last
            && start.since(series.last) <= limits.part(PAUSE_PART)
        {
            series.add(death, End { pause_ns: Some(start.since(series.last)), ..end });
            return;
        }
        if self.series.len() >= FOLLOWED && !self.series.contains_key(&starter) {
            let oldest = self.series.iter().min_by_key(|(_, series)| series.last);
            let Some(oldest) = oldest.map(|(starter, _)| starter.clone()) else { return };
            self.series.remove(&oldest);
        }
        let mut series = Series {
            began: start,
            last: death.at,
            last_key: death.key,
            path: None,
            cgroup_id: None,
            ends: 0,
            // A service manager forks for all units, so its forks are not counted.
            forked_before: death.parent_forked.filter(|_| starter.unit.is_none()),
            ends_beside: 0,
            kept: VecDeque::new(),
        };
        series.add(death, end);
        self.series.insert(starter, series);
    }
}

impl Series {
    fn add(&mut self, death: &GroupDeath, end: End) {
        (self.last, self.last_key) = (death.at, death.key);
        self.path.clone_from(&death.executable);
        self.cgroup_id = death.cgroup_id;
        self.ends = self.ends.saturating_add(1);
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(end);
        // Forks beside the restarts, since the first end.
        if let (Some(before), Some(forked)) = (self.forked_before, death.parent_forked) {
            let restarts = u64::from(self.ends) - 1;
            let beside = forked.saturating_sub(before).saturating_sub(restarts + self.ends_beside);
            if beside > 1 + restarts / 8 {
                // The parent does other work too, so the count begins again.
                (self.forked_before, self.ends_beside) = (Some(forked), 0);
                (self.began, self.ends) = (death.key.start.unwrap_or(death.at), 1);
            }
        }
    }

    fn is_loop(&self, starter: &Starter, limits: &Thresholds) -> bool {
        let is_followed = starter.unit.is_some() || self.forked_before.is_some();
        is_followed && self.ends >= limits.respawns && self.last.since(self.began) >= limits.part(LASTS_PART)
    }

    fn leak(&self, starter: &Starter, lineage: &Lineage) -> Leak {
        let mut counts: Vec<(Cause, Option<WaitStatus>, u32)> = Vec::new();
        for end in &self.kept {
            match counts.iter_mut().find(|(cause, status, _)| (*cause, *status) == (end.cause, end.status)) {
                Some((.., count)) => *count += 1,
                None => counts.push((end.cause, end.status, 1)),
            }
        }
        counts.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        let median = |mut times: Vec<u64>| {
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or(0)
        };
        let respawn = Respawn {
            program: starter.program,
            path: self.path.clone(),
            unit: starter.unit.as_ref().and_then(|unit| unit.name.clone()),
            by_manager: starter.unit.is_some(),
            ends: self.ends,
            median_life_ns: median(self.kept.iter().map(|end| end.life_ns).collect()),
            median_pause_ns: median(self.kept.iter().filter_map(|end| end.pause_ns).collect()),
            causes: counts,
            last: self.last_key,
        };
        Leak {
            culprit: starter.parent,
            name: lineage.name_by_key(starter.parent),
            cgroup_id: self.cgroup_id,
            since: self.began,
            seen: self.last,
            what: Leaking::Respawn(Box::new(respawn)),
        }
    }
}

/// Returns a number that distinguishes the loops of one parent.
fn discriminator(starter: &Starter) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&starter.unit, starter.program).hash(&mut hasher);
    hasher.finish()
}
