//! Compares the tree with the kernel's tasks and repairs differences.
//!
//! - `resync`: when it compares, and how differences are applied
//! - `completion`: tasks in /proc that the kernel's task iterator does not show
//! - `hidden`: tasks that the kernel shows neither to the iterator nor to the eBPF programs
//! - `put_off`: differences that a record on its way may still explain
//! - `repairs`: counts of repairs, by kind and reason

pub(super) mod completion;
pub(super) mod hidden;
pub(super) mod put_off;
pub(super) mod repairs;
pub(super) mod resync;
