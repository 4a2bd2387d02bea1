//! Processes and units that end.

pub(crate) mod deaths;
pub(crate) mod exits;
pub(crate) mod scopes;
