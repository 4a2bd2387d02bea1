//! PURE: identity, task and group state machines, tree, zombies, reparenting, reapers. No tokio, no files, no clock.
#![forbid(unsafe_code)]

pub mod id;
pub mod record;
