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
    handshakes: IntCounterVec,
    refused: IntCounter,
    web_reloads: IntCounter,
    web_is_current: IntGauge,
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
                "Connections that the daemon closed, by reason: no complete request in time, a peer that read nothing for 30 s, another connection needed the place, no place was left.",
                &["reason"],
            )?,
            handshakes: of.counters(
                "taskscope_http_tls_handshakes_total",
                "TLS handshakes on the TCP address, by outcome; only with tls_server_config in the web_config_file.",
                &["outcome"],
            )?,
            refused: of.counter(
                "taskscope_http_refused_total",
                "Requests that were refused because of the web_config_file: no valid password, or more than its rate_limit.",
            )?,
            web_reloads: of.counter(
                "taskscope_web_config_reloads_total",
                "How often a changed web_config_file, or a file that it names, came into force.",
            )?,
            web_is_current: of.int_gauge(
                "taskscope_web_config_is_current",
                "1 if the web_config_file and the files that it names are in force as they are on disk; 0 if the last reload failed.",
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
        let web = &sources.connections.web;
        for (outcome, count) in web.handshakes() {
            set(&self.handshakes.with_label_values(&[outcome]), count);
        }
        set(&self.refused, web.refused());
        set(&self.web_reloads, web.reloads());
        self.web_is_current.set(i64::from(web.is_current()));
    }
}
