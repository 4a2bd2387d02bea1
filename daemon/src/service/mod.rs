//! `taskscope run`: the daemon as a service, with metrics, the API, systemd, and as few privileges as possible.

mod budget;
pub mod config;
mod descriptors;
mod event_sink;
pub mod http;
mod losses;
mod memory;
mod metrics;
mod notify;
pub mod privileges;
mod readers;
pub mod sandbox;
mod sched;
mod socket;
mod start;
mod status;
mod unread;
mod vital;

pub use self::{
    event_sink::Service,
    memory::{Holding, Holdings},
    start::{ServiceError, Start, serve},
    status::{HistoryStatus, Status},
};

/// The header of an answer that identifies this run of the daemon, because each run counts sequence numbers from the start.
pub const INSTANCE: &str = "taskscope-instance";

/// The header of an answer with lives: lives that ended before this time are not known. RFC 3339.
pub const KNOWN_SINCE: &str = "taskscope-known-since";
