//! Finds the cgroup whose limit on CPU time (`cpu.max`, `cpu.cfs_quota_us` in v1) holds a process back.

use std::path::Path;

use super::freezer::{directory, path_in, upwards, word};
use crate::{
    cgroup_mounts::{Version, with_controller},
    host,
    verdict::facts::Throttled,
};

/// The v1 controller that limits CPU time.
const CONTROLLER: &str = "cpu";

/// Returns the innermost cgroup that limits the CPU time of a process and has throttled its tasks, given the text of /proc/PID/cgroup;
/// `None` if there is none, or if it cannot be read.
#[must_use]
pub fn throttled(cgroups: &[u8]) -> Option<Throttled> {
    let mounts = host::text("/proc/self/mounts").ok()?;
    let text = std::str::from_utf8(cgroups).ok()?;
    with_controller(&mounts, CONTROLLER).find_map(|(version, root)| {
        let path = match version {
            Version::V1 => path_in(text, |controller| controller == CONTROLLER)?,
            Version::V2 => path_in(text, str::is_empty)?,
        };
        of(root, path, version)
    })
}

fn of(root: &Path, path: &str, version: Version) -> Option<Throttled> {
    upwards(path).find_map(|path| {
        let (quota_us, period_us) = limit(root, path, version)?;
        let stat = word(root, path, "cpu.stat")?;
        let count = |key: &str| {
            let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == key)?.1.parse::<u64>().ok()
        };
        let (throttled, periods) = (count("nr_throttled").filter(|&count| count > 0)?, count("nr_periods")?);
        let cgroup = directory(root, path).display().to_string();
        let lift = match version {
            Version::V1 => format!("echo -1 > {cgroup}/cpu.cfs_quota_us"),
            Version::V2 => format!("echo max > {cgroup}/cpu.max"),
        };
        Some(Throttled { cgroup, quota_us, period_us, throttled, periods, lift })
    })
}

/// Quota and period; `None` without a limit.
fn limit(root: &Path, path: &str, version: Version) -> Option<(u64, u64)> {
    match version {
        // `-1` means no limit; it does not parse as an unsigned number.
        Version::V1 => Some((
            word(root, path, "cpu.cfs_quota_us")?.parse().ok()?,
            word(root, path, "cpu.cfs_period_us")?.parse().ok()?,
        )),
        Version::V2 => {
            let text = word(root, path, "cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            Some((quota.parse().ok()?, period.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_innermost_limit_that_was_reached_is_named() {
        let root = std::env::temp_dir().join(format!("taskscope-throttle-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        let write = |file: &str, text: &str| fs::write(root.join(file), text).unwrap();
        write("a/cpu.max", "20000 100000\n");
        write("a/cpu.stat", "usage_usec 7\nnr_periods 9\nnr_throttled 4\nthrottled_usec 5\n");
        write("a/b/cpu.max", "max 100000\n");
        write("a/b/cpu.stat", "usage_usec 7\nnr_periods 0\nnr_throttled 0\n");
        let found = of(&root, "/a/b", Version::V2).unwrap();
        assert_eq!((found.quota_us, found.period_us), (20_000, 100_000));
        assert_eq!((found.throttled, found.periods), (4, 9));
        assert!(found.cgroup.ends_with("/a") && found.lift.ends_with("/a/cpu.max"), "{found:?}");
        write("a/b/cpu.cfs_quota_us", "-1\n");
        write("a/b/cpu.cfs_period_us", "100000\n");
        assert_eq!(of(&root, "/a/b", Version::V1), None);
        write("a/cpu.stat", "nr_periods 9\nnr_throttled 0\n");
        assert_eq!(of(&root, "/a/b", Version::V2), None, "it was never reached");
        fs::remove_dir_all(root).unwrap();
    }
}
