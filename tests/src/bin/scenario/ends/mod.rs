//! Processes and units that end.

pub(crate) mod deaths;
pub(crate) mod enforced;
pub(crate) mod exits;
pub(crate) mod indirect;
pub(crate) mod scopes;
pub(crate) mod senders;
pub(crate) mod stops;
