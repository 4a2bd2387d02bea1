//! SHELL: effects as JSON and as text.

pub mod json;
pub mod text;

mod encode;
mod filter;
mod sched;
mod stamp;
mod time;
mod usage;

pub use self::{
    filter::{Filter, UnknownAction, Wish, descendants},
    sched::{SCHED_ACTIONS, action as sched_action, write_sched},
    stamp::Stamp,
};

/// Names of all actions, in the order in which they come in a life. docs/events.md describes them.
pub const ACTIONS: [&str; 18] = [
    "forked",
    "clone_failed",
    "execed",
    "exec_takeover",
    "renamed",
    "reparented",
    "blocked_flagged",
    "blocked_cleared",
    "exiting",
    "exit_stuck",
    "exited",
    "leader_died",
    "group_exited",
    "zombie_began",
    "zombie_flagged",
    "reaped",
    "autoreaped",
    "released",
];
