//! Which kernels there are.
//!
//! - `table`: Debian's
//! - `own`: those that are compiled here
//! - `list`: `cargo xtask vm --list`
//! - `collect`: the kernels of one call

pub(super) mod collect;
pub(super) mod list;
pub(super) mod own;
pub(super) mod table;
