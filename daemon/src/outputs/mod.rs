//! SHELL: sends chosen events to the journal, to an OpenTelemetry collector, to an Alertmanager, to HTTP servers
//! and to NATS.
//!
//! The owner of the lineage hands the events that an output may want to one bounded queue ([`Outputs`]) and never waits. One thread,
//! created at the start, does the rest:
//!
//! - `queue`: the owner's end of the queue; `batch`: what it holds
//! - `dispatch`: applies each output's filter, encodes, and appends to the output's `buffer`, which continues in a `spill` file
//! - `deliver`: sends what is in a buffer, with `backoff`; one task for each output
//! - `target/`: what an output sends to, and connections to servers
//! - `settings/`: the keys of the configuration; `url`: addresses of servers
//! - `stats`: what was sent, dropped and tried again
//!
//! Dropped events are counted, and a gap record before the next event reports them in the output itself.

mod backoff;
mod batch;
mod buffer;
mod deliver;
mod dispatch;
mod message;
mod queue;
mod settings;
mod spill;
mod stats;
mod target;
mod url;

pub use self::{
    queue::{Outputs, Reach},
    settings::{
        DEFAULT_JOURNAL_SOCKET, MOST_OUTPUTS, OtlpProtocol, OutputDraft, OutputSettings, ServerSettings,
        SettingError, TARGETS, TargetSettings, TlsFiles, journal,
    },
    stats::{OutputFigures, OutputStats},
};
