//! Lives told record by record, as one kernel or another tells them.

mod life;
mod memory;
mod scene;
mod usage;
