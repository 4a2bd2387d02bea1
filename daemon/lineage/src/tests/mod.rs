//! Lives record by record, as different kernels report them.
//!
//! | file | what |
//! |---|---|
//! | `fixture` | a lineage that is fed record by record, with its invariants checked after each |
//! | `life` | what a [`Life`](crate::Life) shows, while the process lives and afterwards |
//! | `cgroup_attach` | processes that are moved to another cgroup |
//! | `cgroup_counts` | the tasks of a cgroup now |
//! | `older` | programs of processes that no exec reported |
//! | `contradiction` | records that name the child they are about as its parent |
//! | `orphans` | zombies whose parent dies, by tracepoint |
//! | `reaped_unseen` | zombies whose reaping no record shows |
//! | `scopes` | cgroups that get their first task and lose their last |
//! | `stops` | units and containers that are asked to stop |
//! | `usage` | CPU time of groups and their children |
//! | `leaks` | leaks other than zombies |
//! | `memory` | bytes per live task, zombie and stored life |

mod before_exec;
mod cgroup_attach;
mod cgroup_counts;
mod contradiction;
mod durations;
mod fixture;
mod leaks;
mod life;
mod memory;
mod older;
mod orphans;
mod reaped_unseen;
mod scopes;
mod stops;
mod usage;
