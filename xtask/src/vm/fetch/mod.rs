//! Downloads for guests and tests, fetched once and kept in the cache of the user.
//!
//! - `cache`: the folder, and its lock
//! - `apt`: packages of Debian and Ubuntu
//! - `kernels`, `compile`: kernel images, fetched and compiled
//! - `qemu`: the emulator
//! - `cross`: what builds for another architecture
//! - `tools`, `python`, `npm`: programs of other projects for tests

pub(super) mod apt;
pub(super) mod cache;
pub(super) mod compile;
pub(crate) mod cross;
pub(super) mod kernels;
pub(super) mod npm;
pub(super) mod python;
pub(super) mod qemu;
pub(super) mod tools;
