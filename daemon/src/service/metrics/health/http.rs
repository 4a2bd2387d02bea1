//! Readers of events, and connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::service::metrics::{
    families::{Families, int, set},
    sources::Sources,
};

/// Metrics of the daemon's connections.
pub(in crate::service) struct HttpMetrics {
    readers: IntGauge,
    reader_bytes: IntGauge,
    reader_lost: IntCounter,
    connections: IntGauge,
    closed: IntCounterVec,
}

impl HttpMetrics {
    pub(in crate::service) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            readers: of.int_gauge("taskscope_event_readers", "Readers of the event stream now.")?,
            reader_bytes: of.int_gauge(
                "taskscope_event_readers_bytes",
                "Memory of events that are kept for readers, all readers together.",
            )?,
            reader_lost: of.counter(
                "taskscope_event_readers_lost_events_total",
                "Events that readers lost because they were too slow.",
            )?,
            connections: of.int_gauge("taskscope_http_connections", "Connections to the daemon now.")?,
            closed: of.counters(
                "taskscope_http_connections_closed_total",
                "Connections that the daemon closed, by reason: no whole request in time, a peer that read nothing for 30 s, another one needed the place, no place was left.",
                &["reason"],
            )?,
        })
    }

    pub(in crate::service) fn read(&self, sources: &Sources<'_>) {
        self.readers.set(int(sources.readers.count()));
        self.reader_bytes.set(int(sources.readers.bytes()));
        set(&self.reader_lost, sources.readers.lost());
        self.connections.set(int(sources.connections.open()));
        for (reason, count) in sources.connections.by_reason() {
            set(&self.closed.with_label_values(&[reason.name()]), count);
        }
    }
}
