//! The kernel's id of a cgroup: the inode number of its directory.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Returns the id of a process's cgroup in the v2 hierarchy; `None` if that is not mounted.
pub(crate) fn id_of(pid: i64) -> Option<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let root = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split(' ').nth(4)).flatten()
    })?;
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(fs::metadata(Path::new(root).join(path)).ok()?.ino())
}
