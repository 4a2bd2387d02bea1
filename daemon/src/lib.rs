//! Watches every Linux task from `copy_process()` to `release_task()`.
//!
//! Nothing outside of it makes it panic: what could is refused by lints outside of tests.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod answer;
pub mod bounded;
pub mod cgroup;
pub mod cgroup_mounts;
pub mod cli;
pub mod duration;
pub mod export;
mod failpoint;
pub mod fd;
pub mod history;
pub mod kernel;
pub mod panics;
pub mod pidns;
pub mod procfs;
pub mod runtime;
pub mod service;
pub mod size;
pub mod timens;

pub use lineage;
pub use verdict;
