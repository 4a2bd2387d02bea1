//! What several answers contain: a process and how it is named, the place of its cgroup, what it used, a verdict.

pub mod place;
pub mod process;
pub mod usage;
pub mod verdict;
