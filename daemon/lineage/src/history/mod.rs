//! Processes that ended, and queries.
//!
//! | file | what |
//! |---|---|
//! | `exited_processes` | lives that are over, bounded by number and age |
//! | `life` | puts the life of a group together from what is stored |
//! | `query` | lookups by pid and time, walks through the tree, counts |

pub(crate) mod exited_process;
pub(crate) mod exited_processes;
pub(crate) mod life;
pub(crate) mod query;
