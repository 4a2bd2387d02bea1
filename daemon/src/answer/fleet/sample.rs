//! The parts of one host's answers that a row of `fleet top` shows, or why the host did not answer.
//!
//! Only the fields that rows show are read, so that answers of other versions can be parsed.

use serde::Deserialize;

use super::{ErrorKind, HostStatus};

/// The most bytes of the name of a cause, of a limit's kind and of a limit's name.
const NAME_MAX: usize = 64;

/// What one host answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSample {
    /// From `/v1/status`.
    pub status: HostStatus,
    /// From `/v1/zombies`; absent if the daemon could not answer that.
    pub zombies: Option<ZombieSums>,
    /// From `/v1/deaths`: processes that ended since the last sample.
    pub deaths: Option<NewDeaths>,
    /// From `/v1/limits`: the fullest limit on pids.
    pub fullest: Option<FullestLimit>,
    /// Why a part is absent.
    pub missing: Option<String>,
}

/// Why a host did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

/// The zombies of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZombieSums {
    /// Zombies that a parent should have reaped by now.
    pub overdue: u64,
    /// The age of the oldest of them, ns; 0 without one.
    pub oldest_ns: u64,
    /// The sum of the ages of all zombies, ns; absent in answers of older versions.
    pub reap_debt_ns: Option<u64>,
}

/// Processes that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewDeaths {
    /// The time of the answer on the host's `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// When each process ended, and the cause; the latest first.
    pub deaths: Vec<(u64, String)>,
    /// Whether more processes may have ended since the last sample, because the answer has as many as it was limited to.
    pub has_more: bool,
}

/// The fullest limit on pids of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FullestLimit {
    /// Its kind, as [`crate::answer::limits::Limit::kind`].
    pub kind: String,
    /// The cgroup's path, the uid, or the pid namespace's inode number.
    #[serde(default)]
    pub name: String,
    /// Tasks that count against it.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// Whether the next fork fails.
    pub full: bool,
}

/// The part of `/v1/zombies` that rows show.
#[derive(Debug, Deserialize)]
pub struct ZombiesPart {
    zombies: u64,
    #[serde(default)]
    just_died: u64,
    #[serde(default)]
    reap_debt_ns: Option<u64>,
    #[serde(default)]
    parents: Vec<ParentPart>,
}

#[derive(Debug, Deserialize)]
struct ParentPart {
    zombie_at_least_ns: u64,
}

/// The part of `/v1/deaths` that rows show.
#[derive(Debug, Deserialize)]
pub struct DeathsPart {
    boottime_ns: u64,
    deaths: Vec<DeathPart>,
}

#[derive(Debug, Deserialize)]
struct DeathPart {
    boottime_ns: u64,
    cause: String,
}

/// The part of `/v1/limits` that rows show.
#[derive(Debug, Deserialize)]
pub struct LimitsPart {
    limits: Vec<FullestLimit>,
}

impl From<ZombiesPart> for ZombieSums {
    fn from(part: ZombiesPart) -> Self {
        let overdue = part.zombies.saturating_sub(part.just_died);
        let oldest = part.parents.iter().map(|parent| parent.zombie_at_least_ns).max();
        let oldest_ns = if overdue > 0 { oldest.unwrap_or_default() } else { 0 };
        Self { overdue, oldest_ns, reap_debt_ns: part.reap_debt_ns }
    }
}

impl NewDeaths {
    /// Returns the processes of an answer that was limited to `limit` processes.
    #[must_use]
    pub fn of(part: DeathsPart, limit: usize) -> Self {
        let has_more = part.deaths.len() >= limit;
        let deaths = part.deaths.into_iter().take(limit);
        let deaths = deaths.map(|death| (death.boottime_ns, short(death.cause))).collect();
        Self { boottime_ns: part.boottime_ns, deaths, has_more }
    }
}

impl LimitsPart {
    /// Returns the fullest limit, which is the first one.
    #[must_use]
    pub fn fullest(self) -> Option<FullestLimit> {
        let limit = self.limits.into_iter().next()?;
        Some(FullestLimit { kind: short(limit.kind), name: short(limit.name), ..limit })
    }
}

impl FullestLimit {
    /// Returns how much of the limit is used, percent, rounded down; 100 if it is full.
    #[must_use]
    pub fn percent(&self) -> u64 {
        match self.used.saturating_mul(100).checked_div(self.limit) {
            _ if self.full => 100,
            Some(percent) => percent.min(100),
            None => 100,
        }
    }
}

/// Cuts a text to a length that no text of a real daemon exceeds.
fn short(text: String) -> String {
    if text.len() <= NAME_MAX { text } else { text.chars().take(NAME_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_need_few_fields_of_an_answer() {
        let zombies: ZombiesPart = serde_json::from_str(
            r#"{"zombies":7,"just_died":2,"reap_debt_ns":90,"parents":[{"zombie_at_least_ns":5,"new":1},{"zombie_at_least_ns":9}]}"#,
        )
        .unwrap();
        assert_eq!(
            ZombieSums::from(zombies),
            ZombieSums { overdue: 5, oldest_ns: 9, reap_debt_ns: Some(90) }
        );
        let old: ZombiesPart =
            serde_json::from_str(r#"{"zombies":1,"just_died":1,"parents":[{"zombie_at_least_ns":5}]}"#)
                .unwrap();
        assert_eq!(ZombieSums::from(old), ZombieSums::default(), "a zombie that died just now has no age");
        let deaths = r#"{"boottime_ns":70,"deaths":[{"boottime_ns":60,"cause":"oom"},{"boottime_ns":50,"cause":"killed"}]}"#;
        let deaths = NewDeaths::of(serde_json::from_str(deaths).unwrap(), 2);
        assert_eq!((deaths.deaths.len(), deaths.has_more), (2, true));
        let limits =
            r#"{"limits":[{"kind":"cgroup","name":"/a","used":99,"limit":200,"full":false,"consumers":[]}]}"#;
        let fullest = serde_json::from_str::<LimitsPart>(limits).unwrap().fullest().unwrap();
        assert_eq!(fullest.percent(), 49);
        assert_eq!(FullestLimit { full: true, ..fullest.clone() }.percent(), 100);
        assert_eq!(FullestLimit { limit: 0, ..fullest }.percent(), 100);
    }
}
