//! `taskscope run`: the daemon as a service, with metrics, the API, systemd, and as few privileges as possible.
//!
//! - `start`: the daemon from its start to its end; `housekeeping`: what it does at intervals; `vital`: its parts that it cannot do
//!   without
//! - `config`: settings; `reload`: takes over new ones at SIGHUP
//! - `event_sink`: passes events to `metrics` and to `readers`; `sched` and `losses` add those of `--sched`
//! - `http`, `socket`: the API; `scrape_format`: what a scrape asks for; `status`: the daemon's health
//! - `labels`: values of labels of metrics, and which of them get a series of their own
//! - `memory`, `descriptors`, `budget`: limits of memory, file descriptors and pids
//! - `notify`: systemd
//! - `privileges`, `sandbox`: what the daemon may do once it runs

mod budget;
pub mod config;
mod descriptors;
mod event_sink;
mod housekeeping;
pub mod http;
mod labels;
mod losses;
mod memory;
mod metrics;
mod notify;
pub mod privileges;
mod readers;
mod reload;
pub mod sandbox;
mod sched;
mod scrape_format;
mod socket;
mod start;
mod status;
mod unread;
mod vital;

pub use self::{
    event_sink::Service,
    memory::{Holding, Holdings},
    metrics::EventMetrics,
    start::{ServiceError, Start, serve},
    status::{HistoryStatus, OutputStatus, Status},
};

/// The header of an answer that identifies this run of the daemon, because each run counts sequence numbers from the start.
pub const INSTANCE: &str = "taskscope-instance";

/// The header of an answer with lives: lives that ended before this time are not known. RFC 3339.
pub const KNOWN_SINCE: &str = "taskscope-known-since";

/// The header of an answer that comes from the history too: what the history knows and lacks, as JSON.
pub const KNOWN: &str = "taskscope-history";

/// The trailer of such an answer: what could not be read, as JSON.
pub const DAMAGE: &str = "taskscope-history-damage";
