//! SHELL: turns a cgroup's id into its path, and the path into a systemd unit, a container and a pod.
//! `pods` finds the names of the latter two.

pub mod freezer;
pub mod throttle;

mod memory;
mod pids;
mod place;
mod pods;
mod tree;

pub use self::{
    memory::MemoryHierarchy,
    pids::{PidsHierarchy, PidsLimit},
    place::{Container, Place, PodName},
    tree::Cgroups,
};
