//! The pid budget: how many pids are in use, where the limit is, and when it will be reached at the present growth.
#![expect(
    clippy::cast_precision_loss,
    reason = "pids are far below 2^52, and nanoseconds of a few minutes as well"
)]

use std::{path::Path, time::Duration};

use crate::{
    answer::limits::Forecast,
    cgroup::{PidsHierarchy, PidsLimit},
    cgroup_mounts::CgroupMounts,
    host,
    lineage::id::Ktime,
};

/// The interval at which limits are read.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// Growth is averaged over about this time, s, so that a burst of one second is not taken for a trend.
const SMOOTH_SECONDS: f64 = 60.0;

/// A limit on pids.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scope {
    /// `pid_max`, `threads_max` or `cgroup`.
    pub(super) what: &'static str,
    /// The path of the cgroup.
    pub(super) name: String,
    /// Pids in use.
    pub(super) used: u64,
    /// The limit.
    pub(super) limit: u64,
    /// Growth, in pids per second.
    pub(super) growth_per_second: f64,
    at: Ktime,
}

impl Scope {
    /// Returns the time until the limit is reached, s; `+Inf` if usage does not grow.
    pub(super) fn exhausted_in_seconds(&self) -> f64 {
        let left = self.limit.saturating_sub(self.used);
        if left == 0 {
            0.0
        } else if self.growth_per_second <= 0.0 {
            f64::INFINITY
        } else {
            left as f64 / self.growth_per_second
        }
    }

    /// Returns when the limit will be reached; `None` if usage does not grow, or if that takes longer than a year.
    fn forecast(&self) -> Option<Forecast> {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let left =
            Duration::try_from_secs_f64(self.exhausted_in_seconds()).ok().filter(|left| *left < YEAR)?;
        let full_in_ns = u64::try_from(left.as_nanos()).ok()?;
        Some(Forecast { kind: self.what, name: self.name.clone(), full_in_ns })
    }

    fn follow(&mut self, now: Ktime, used: u64, limit: u64) {
        let seconds = now.since(self.at) as f64 / 1e9;
        if seconds > 0.0 {
            let growth = (used as f64 - self.used as f64) / seconds;
            let weight = 1.0 - (-seconds / SMOOTH_SECONDS).exp();
            self.growth_per_second += (growth - self.growth_per_second) * weight;
        }
        (self.used, self.limit, self.at) = (used, limit, now);
    }
}

/// The pid budget: each limit on pids, and how full it is.
#[derive(Debug, Default)]
pub(super) struct Budget {
    scopes: Vec<Scope>,
    /// Forks that `pids.max` has refused since the first reading.
    refused: u64,
    /// The sum of the kernel's counts at the last reading; `None` before the first, and if there is no pids controller.
    counted: Option<u64>,
}

impl Budget {
    /// Returns each limit.
    pub(super) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns when each limit that fills up will be full.
    pub(super) fn forecasts(&self) -> Vec<Forecast> {
        self.scopes.iter().filter_map(Scope::forecast).collect()
    }

    /// Returns how many forks the `pids.max` of any cgroup has refused since the first reading; `None` if no cgroup can limit
    /// pids.
    pub(super) fn refused_forks(&self) -> Option<u64> {
        self.counted.map(|_| self.refused)
    }

    /// Adds to the number of refused forks. The count of a removed cgroup disappears from the sum, so a smaller sum is ignored.
    fn count_refused(&mut self, counted: u64) {
        self.refused += self.counted.map_or(0, |before| counted.saturating_sub(before));
        self.counted = Some(counted);
    }

    /// Takes a reading of the limits; `tasks` is the number of tasks.
    pub(super) fn take(&mut self, now: Ktime, tasks: u64, reading: PidLimits) {
        for (what, limit) in reading.host {
            self.follow(now, what, "", tasks, limit);
        }
        if let Some(refused) = reading.refused {
            self.count_refused(refused);
        }
        let nearest = reading.nearest;
        let keep = nearest.as_ref().map_or("", |(name, _, _)| name);
        self.scopes.retain(|scope| scope.what != "cgroup" || scope.name == keep);
        if let Some((name, used, limit)) = nearest {
            self.follow(now, "cgroup", &name, used, limit);
        }
    }

    fn follow(&mut self, now: Ktime, what: &'static str, name: &str, used: u64, limit: u64) {
        if let Some(known) = self.scopes.iter_mut().find(|known| known.what == what && known.name == name) {
            known.follow(now, used, limit);
        } else {
            self.scopes.push(Scope {
                what,
                name: name.to_owned(),
                used,
                limit,
                growth_per_second: 0.0,
                at: now,
            });
        }
    }
}

/// Limits on pids, read from the kernel's files. A host may have thousands of cgroups, so the thread that owns the lineage
/// does not read them.
#[derive(Debug)]
pub(super) struct PidLimits {
    /// `pid_max` and `threads_max`.
    host: Vec<(&'static str, u64)>,
    /// The cgroup that has used the largest part of its pids.max: path, used, limit.
    nearest: Option<(String, u64, u64)>,
    /// The forks that the cgroups have refused; `None` if there is no pids controller.
    refused: Option<u64>,
}

impl PidLimits {
    /// Reads the limits.
    pub(super) fn of(mounts: &CgroupMounts) -> Self {
        let files =
            [("pid_max", "/proc/sys/kernel/pid_max"), ("threads_max", "/proc/sys/kernel/threads-max")];
        let host =
            files.into_iter().filter_map(|(what, file)| Some((what, number(Path::new(file))?))).collect();
        let (limits, refused) = PidsHierarchy::of(mounts).map(|hierarchy| hierarchy.walk()).unzip();
        Self { host, nearest: limits.and_then(nearest_cgroup), refused }
    }
}

/// Returns the cgroup that has used the largest part of its pids.max: path, used, limit.
fn nearest_cgroup(limits: Vec<PidsLimit>) -> Option<(String, u64, u64)> {
    limits
        .into_iter()
        .filter(|limit| limit.limit > 0)
        .map(|limit| (limit.path, limit.used, limit.limit))
        .max_by(|one, other| share(one).total_cmp(&share(other)).then_with(|| other.0.cmp(&one.0)))
}

fn share((_, used, limit): &(String, u64, u64)) -> f64 {
    *used as f64 / *limit as f64
}

fn number(file: &Path) -> Option<u64> {
    host::text(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(seconds: u64) -> Ktime {
        Ktime(seconds * 1_000_000_000)
    }

    #[test]
    fn steady_growth_is_found_and_gives_a_time() {
        let mut budget = Budget::default();
        for second in 0..600 {
            budget.follow(at(second), "pid_max", "", 1000 + 10 * second, 32_768);
        }
        let scope = &budget.scopes()[0];
        assert!((scope.growth_per_second - 10.0).abs() < 0.1, "{scope:?}");
        let left = scope.exhausted_in_seconds();
        assert!((left - 2577.8).abs() < 50.0, "{left}");
        let forecast = &budget.forecasts()[0];
        assert_eq!(forecast.kind, "pid_max");
        assert!((forecast.full_in_ns as f64 / 1e9 - left).abs() < 1.0, "{forecast:?}");
    }

    #[test]
    fn what_does_not_grow_lasts_for_ever_and_what_is_used_up_has_no_time() {
        let mut budget = Budget::default();
        budget.follow(at(1), "pid_max", "", 100, 200);
        assert!(budget.scopes()[0].exhausted_in_seconds().is_infinite());
        assert_eq!(budget.forecasts(), [], "for ever");
        budget.follow(at(2), "pid_max", "", 200, 200);
        assert!(budget.scopes()[0].exhausted_in_seconds() < f64::EPSILON);
    }

    #[test]
    fn the_cgroup_nearest_to_its_limit_is_named() {
        let root = std::env::temp_dir().join(format!("taskscope-budget-{}", std::process::id()));
        for (name, current, max) in [("a", "5", "max"), ("b", "50", "100"), ("c", "60", "1000")] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("pids.current"), current).unwrap();
            fs::write(root.join(name).join("pids.max"), max).unwrap();
            fs::write(root.join(name).join("pids.events"), "max 3\n").unwrap();
        }
        let mounts = CgroupMounts { unified: Some(root.clone()), ..CgroupMounts::default() };
        let mut budget = Budget::default();
        assert_eq!(budget.refused_forks(), None);
        budget.take(at(1), 10, PidLimits::of(&mounts));
        let cgroup = budget.scopes().iter().find(|scope| scope.what == "cgroup").unwrap();
        assert_eq!((cgroup.name.as_str(), cgroup.used, cgroup.limit), ("/b", 50, 100));
        assert_eq!(budget.refused_forks(), Some(0), "what was refused before is not counted");
        fs::write(root.join("a/pids.events"), "max 8\n").unwrap();
        budget.take(at(2), 10, PidLimits::of(&mounts));
        assert_eq!(budget.refused_forks(), Some(5));
        fs::remove_dir_all(root.join("a")).unwrap();
        budget.take(at(3), 10, PidLimits::of(&mounts));
        assert_eq!(budget.refused_forks(), Some(5), "a cgroup that is gone lowers nothing");
        fs::remove_dir_all(root).unwrap();
    }
}
