//! Watches every Linux task from `copy_process()` to `release_task()`.
//!
//! No input makes it panic: lints refuse code that could, except in tests.
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]
// Some code of answers and views is for `taskscope top` only.
#![cfg_attr(not(feature = "top"), allow(dead_code))]

pub mod answer;
pub mod bounded;
pub mod cgroup;
pub mod cgroup_mounts;
pub mod cli;
pub mod duration;
pub mod event_loop;
pub mod export;
mod failpoint;
pub mod fd;
pub mod history;
mod host;
pub mod job;
pub mod kernel;
pub mod outputs;
pub mod panics;
mod pem;
pub mod perfetto;
pub mod pidns;
pub mod procfs;
pub mod recording;
pub mod runtime;
pub mod service;
pub mod size;
pub mod timens;
mod tls_client;
pub mod view;

pub use lineage;
pub use verdict;
