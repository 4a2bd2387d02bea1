//! What is uncertain, and what settles it.

pub(crate) mod concluded_end;
pub(crate) mod snapshot;
pub(crate) mod snapshot_conflict;
