//! What goes in and what comes out.
//!
//! | file | what |
//! |---|---|
//! | `id` | tids, tgids, times; identities that the reuse of a tid cannot confuse |
//! | `record` | what the kernel side reports |
//! | `effect`, `action_kind`, `kinds`, `event_context` | what a record changed, and how that is known |
//! | `brief` | what a record changed, as counters need it |
//! | `task`, `status`, `flags` | kinds and states of tasks; wait(2) statuses; the kernel's names of bits |
//! | `life`, `before_exec` | the history of a thread group; what it did before its last exec |
//! | `death` | why a thread group ended |
//! | `leak` | leaks that are no zombies |
//! | `debt`, `relation` | a parent's counts of children; the relation of a reaper to the released task |
//! | `usage`, `figures` | CPU time and memory used; what a task is doing at a moment |
//! | `comm`, `path_name`, `arguments`, `stats` | a task's comm; a program's path and arguments; counters of a lineage |

pub(crate) mod action_kind;
pub(crate) mod arguments;
pub(crate) mod before_exec;
pub(crate) mod brief;
pub(crate) mod comm;
pub mod death;
pub(crate) mod debt;
pub mod effect;
pub(crate) mod event_context;
pub mod figures;
pub mod flags;
pub mod id;
pub(crate) mod kinds;
pub mod leak;
pub(crate) mod life;
pub(crate) mod path_name;
pub mod record;
pub(crate) mod relation;
pub mod scope;
pub(crate) mod stats;
pub mod status;
pub(crate) mod task;
pub(crate) mod usage;
