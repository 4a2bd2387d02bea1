//! What scenarios use: actors, facts, system calls, /proc and cgroups.

pub(crate) mod actor;
pub(crate) mod cgroups;
pub(crate) mod fact;
pub(crate) mod owing;
pub(crate) mod proc;
pub(crate) mod sys;
