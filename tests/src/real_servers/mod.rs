//! Servers that tests run, with the networks and certificates that they need.

pub mod certificates;
pub mod nats;
pub mod network;
pub mod nginx;
pub mod servers;
