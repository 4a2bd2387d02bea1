//! The lineage's input and output.
//!
//! | file | what |
//! |---|---|
//! | `id` | tids, tgids, times; identities that the reuse of a tid cannot confuse |
//! | `record` | what the kernel side reports; `record/comm`, `record/path_name`, `record/arguments`: names in it |
//! | `effect` | what a record changed; `effect/action_kind`, `effect/kinds`, `effect/event_context`: what kind of change, and how that is known |
//! | `effect/brief` | what a record changed, as counters need it |
//! | `task`, `status`, `flags` | kinds and states of tasks; wait(2) statuses; the kernel's names of bits |
//! | `life` | the history of a thread group; `life/before_exec`: what it did before its last exec |
//! | `life/debt`, `life/relation` | a parent's counts of children; the relation of a reaper to the released task |
//! | `death` | why a thread group ended |
//! | `scope` | units and containers that begin and end |
//! | `leak` | leaks other than zombies |
//! | `cgroup_counts` | the tasks of a cgroup now |
//! | `usage`, `figures` | CPU time, page faults and switches; what a task is doing at one time |
//! | `stats` | counters of a lineage |

pub(crate) mod cgroup_counts;
pub mod death;
pub mod effect;
pub mod figures;
pub mod flags;
pub mod id;
pub mod leak;
pub(crate) mod life;
pub mod record;
pub mod scope;
pub(crate) mod stats;
pub mod status;
pub(crate) mod task;
pub(crate) mod usage;

pub(crate) use self::effect::{action_kind, brief, event_context, kinds};
pub(crate) use self::life::{before_exec, debt, relation};
pub(crate) use self::record::{arguments, comm, path_name};
