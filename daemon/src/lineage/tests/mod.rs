//! Lives told record by record, as one kernel or another tells them.

mod attach;
mod life;
mod memory;
mod older;
mod scene;
mod usage;
