//! Watches every Linux task from `copy_process()` to `release_task()`.

pub mod answer;
pub mod cgroup;
pub mod cli;
pub mod duration;
pub mod export;
pub mod fd;
pub mod kernel;
pub mod procfs;
pub mod runtime;
pub mod service;

pub use lineage;
pub use verdict;
