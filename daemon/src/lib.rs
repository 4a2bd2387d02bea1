//! Watches every Linux task from `copy_process()` to `release_task()`.

pub mod answer;
pub mod bounded;
pub mod cgroup;
pub mod cgroup_mounts;
pub mod cli;
pub mod duration;
pub mod export;
mod failpoint;
pub mod fd;
pub mod kernel;
pub mod lineage;
pub mod panics;
pub mod pidns;
pub mod procfs;
pub mod runtime;
pub mod service;
pub mod size;
pub mod timens;
