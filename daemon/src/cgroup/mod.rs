//! SHELL: turns a cgroup's id into its path, and the path into a systemd unit, a container and a pod.

pub mod freezer;
pub mod throttle;

mod memory;
mod pids;
mod place;
mod tree;

pub use self::{
    memory::MemoryHierarchy,
    pids::{PidsHierarchy, PidsLimit},
    place::{Container, Place},
    tree::Cgroups,
};
