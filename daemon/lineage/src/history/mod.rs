//! Lives that are over, and questions.

pub(crate) mod exited_processes;
pub(crate) mod life;
pub(crate) mod query;
