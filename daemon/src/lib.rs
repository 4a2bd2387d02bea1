//! Watches every Linux task from `copy_process()` to `release_task()`.

pub mod answer;
pub mod bounded;
pub mod cgroup;
pub mod cli;
pub mod duration;
pub mod export;
mod failpoint;
pub mod fd;
pub mod kernel;
pub mod panics;
pub mod procfs;
pub mod runtime;
pub mod service;
pub mod size;
pub mod timens;

pub use lineage;
pub use verdict;
