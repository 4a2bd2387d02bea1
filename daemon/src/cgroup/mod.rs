//! SHELL: where a task lives. A cgroup's id becomes its path, and the path a systemd unit, a container, a pod.

pub mod freezer;

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
