//! What /proc shows of one process. A process that is gone has no fields, no name and no children.

use std::{collections::BTreeSet, fmt::Display, fs};

/// Returns the fields of /proc/PID/stat after the name: the state first, then the parent, the process group and so on.
#[must_use]
pub fn stat(pid: impl Display) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Returns the letter of the state.
#[must_use]
pub fn state(pid: impl Display) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Returns the name (comm), empty if the process is gone.
#[must_use]
pub fn name(pid: impl Display) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end_matches('\n').to_owned()
}

/// Returns the children of the main thread. There are none if the kernel was built without `CONFIG_PROC_CHILDREN`.
#[must_use]
pub fn children(pid: impl Display) -> Vec<i64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns the pids of all processes.
pub fn pids() -> impl Iterator<Item = i64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the zombies among the children of a process.
#[must_use]
pub fn zombies_of(parent: i64) -> BTreeSet<i64> {
    let parent = parent.to_string();
    pids().filter(|pid| stat(pid).is_some_and(|fields| fields[..2] == ["Z", parent.as_str()])).collect()
}
