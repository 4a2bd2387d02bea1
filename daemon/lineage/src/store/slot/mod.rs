//! What is stored of one task, one thread group, one parent.

pub(crate) mod charged_to;
pub(crate) mod group;
pub(crate) mod packed_usage;
pub(crate) mod parent_account;
pub(crate) mod pending_reparent;
pub(crate) mod task;
