//! Tasks that begin, run and get another parent.

pub(crate) mod basic;
pub(crate) mod clones;
pub(crate) mod crowd;
pub(crate) mod executables;
pub(crate) mod jobs;
pub(crate) mod kernel;
pub(crate) mod namespaces;
pub(crate) mod naming;
pub(crate) mod reparenting;
pub(crate) mod sched;
pub(crate) mod storms;
pub(crate) mod threads;
pub(crate) mod uring;
pub(crate) mod usage;
