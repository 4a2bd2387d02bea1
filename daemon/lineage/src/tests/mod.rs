//! Lives told record by record, as one kernel or another tells them.
//!
//! | file | what |
//! |---|---|
//! | `scene` | a lineage that is fed record by record, with its invariants checked after each |
//! | `life` | what a life shows, alive and afterwards |
//! | `cgroup_attach` | where a process is that was moved |
//! | `older` | programs of processes that no exec reported |
//! | `contradiction` | records that name the child they are about as its parent |
//! | `orphans` | zombies whose parent dies, by tracepoint |
//! | `reaped_unseen` | zombies whose reaping no record shows |
//! | `scopes` | cgroups that get their first task and lose their last |
//! | `stops` | units and containers that are asked to stop |
//! | `usage` | what groups and their children used |
//! | `memory` | budgets in bytes: a live task, a zombie, a remembered life |

mod before_exec;
mod cgroup_attach;
mod contradiction;
mod durations;
mod fixture;
mod life;
mod memory;
mod older;
mod orphans;
mod reaped_unseen;
mod scopes;
mod stops;
mod usage;
