//! SHELL: where a task lives. A cgroup's id becomes its path, and the path a systemd unit, a container, a pod.

mod place;
mod tree;

pub use self::{
    place::{Container, Place},
    tree::Cgroups,
};
