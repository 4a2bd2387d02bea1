//! Watches every Linux task from `copy_process()` to `release_task()`.

pub mod kernel;
pub mod lineage;
