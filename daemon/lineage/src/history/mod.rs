//! Processes that ended, and queries.
//!
//! | file | what |
//! |---|---|
//! | `exited_process` | what is remembered of an ended process, in 184 bytes |
//! | `exited_processes` | these lives by tgid and time, bounded by number and age |
//! | `life` | puts the life of a group together from what is stored |
//! | `query` | lookups by pid and time, walks through the tree, counts |
//! | `held` | memory and numbers of stored items |

pub(crate) mod exited_process;
pub(crate) mod exited_processes;
pub(crate) mod held;
pub(crate) mod life;
pub(crate) mod query;
