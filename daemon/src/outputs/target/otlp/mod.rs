//! An OpenTelemetry collector: events as logs by OTLP, over HTTP with protobuf or by gRPC.
//!
//! Attributes have the names of the semantic conventions where there are some; all other names begin with `taskscope.`. A record
//! counts as sent once the collector has answered with success. If that answer is lost, the record is sent again, with the same
//! `taskscope.instance` and `taskscope.event.sequence`.

mod attributes;
mod proto;

use std::sync::Arc;

use axum::body::Bytes;
use prost::Message as _;

use self::proto::{
    ExportLogs, ExportedLogs, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, attribute, string,
};
#[cfg(feature = "grpc")]
use super::client::Grpc;
use super::{Happened, Outcome, Rest, client::Client};
use crate::{
    export::schema::otel::{SCHEMA_URL, event_name},
    host::Identity,
    outputs::{
        message::{self, Severity},
        spill::Record,
    },
};

const CONTENT_TYPE: &str = "application/x-protobuf";

/// How requests reach the collector.
#[derive(Debug)]
pub(in crate::outputs) enum Transport {
    Http(Client),
    #[cfg(feature = "grpc")]
    Grpc(Grpc),
}

/// The client of one collector.
#[derive(Debug)]
pub(in crate::outputs) struct Otlp {
    transport: Transport,
    resource: Resource,
}

impl Otlp {
    pub(in crate::outputs) fn new(transport: Transport, host: &Arc<Identity>, instance: &str) -> Self {
        Self { transport, resource: Resource { attributes: attributes::of_resource(host, instance) } }
    }

    /// Sends records as one request.
    pub(in crate::outputs) async fn send(&mut self, records: &[Record]) -> Outcome {
        let scope_logs = ScopeLogs {
            scope: Some(Scope { name: "taskscope".into(), version: env!("CARGO_PKG_VERSION").into() }),
            log_records: records.iter().map(|record| record.bytes.clone()).collect(),
            schema_url: SCHEMA_URL.into(),
        };
        let request = ExportLogs {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![scope_logs],
                schema_url: SCHEMA_URL.into(),
            }],
        };
        match self.transport.export(request.encode_to_vec()).await {
            Ok(answer) => acknowledged(&answer, records.len()),
            Err(rest) => Outcome { accepted: 0, rest },
        }
    }
}

impl Transport {
    /// Sends a request; returns the body of the answer if it succeeded.
    async fn export(&mut self, request: Vec<u8>) -> Result<Bytes, Rest> {
        let client = match self {
            #[cfg(feature = "grpc")]
            Self::Grpc(grpc) => return grpc.call(&request).await,
            Self::Http(client) => client,
        };
        let answer = client.post(request.into(), CONTENT_TYPE).await;
        let answer = answer.map_err(|why| Rest::Retry { why, after: None })?;
        match answer.outcome(1) {
            // Whether the collector left records out is in the body.
            Outcome { rest: Rest::None, .. } => answer.body.ok_or_else(|| Rest::Retry {
                why: "answered with success, but the body is too long or does not end: it may not be a collector".into(),
                after: None,
            }),
            Outcome { rest, .. } => Err(rest),
        }
    }
}

/// Returns the outcome of `count` records after an answer with success.
fn acknowledged(body: &[u8], count: usize) -> Outcome {
    let Ok(exported) = ExportedLogs::decode(body) else {
        // A server that is not a collector can answer anything.
        let why = "answered with success, but not in OTLP: it may not be a collector".to_owned();
        return Outcome { accepted: 0, rest: Rest::Retry { why, after: None } };
    };
    let partial = exported.partial_success.unwrap_or_default();
    let left_out = u64::try_from(partial.rejected_log_records).unwrap_or(0).min(count as u64);
    if left_out == 0 {
        return Outcome { accepted: count, rest: Rest::None };
    }
    let why = format!("the collector rejected {left_out} of {count} records: {}", partial.error_message);
    Outcome { accepted: count, rest: Rest::LeftOut { why, count: left_out } }
}

/// Encodes an event.
pub(in crate::outputs) fn encode(happened: &Happened<'_>) -> Bytes {
    let effect = happened.effect;
    let (severity_number, severity_text) = Severity::of(effect).otel();
    let time = u64::try_from(happened.stamp.wall_ns(effect.at)).unwrap_or(0);
    let record = LogRecord {
        time_unix_nano: time,
        severity_number,
        severity_text: severity_text.into(),
        body: Some(string(message::of(effect))),
        attributes: attributes::of_event(happened),
        observed_time_unix_nano: time,
        event_name: event_name(effect.action.name()),
    };
    record.encode_to_vec().into()
}

/// Encodes a gap.
pub(in crate::outputs) fn encode_gap(place: &str, lost: u64, wall_ns: i128) -> Bytes {
    let (severity_number, severity_text) = Severity::Warning.otel();
    let time = u64::try_from(wall_ns).unwrap_or(0);
    let record = LogRecord {
        time_unix_nano: time,
        severity_number,
        severity_text: severity_text.into(),
        body: Some(string(message::of_gap(place, lost))),
        attributes: vec![
            attribute("taskscope.gap.place", string(place)),
            attribute("taskscope.gap.lost", proto::any(&lost.into())),
        ],
        observed_time_unix_nano: time,
        event_name: event_name("gap"),
    };
    record.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_a_collector_acknowledges() {
        assert!(matches!(acknowledged(b"", 3), Outcome { accepted: 3, rest: Rest::None }));
        assert!(matches!(
            acknowledged(b"<html>hello</html>", 3),
            Outcome { accepted: 0, rest: Rest::Retry { .. } }
        ));
        let partial = proto::PartialSuccess { rejected_log_records: 2, error_message: "too old".into() };
        let body = ExportedLogs { partial_success: Some(partial) }.encode_to_vec();
        let outcome = acknowledged(&body, 3);
        assert!(
            matches!(outcome, Outcome { accepted: 3, rest: Rest::LeftOut { count: 2, .. } }),
            "{outcome:?}"
        );
    }

    #[test]
    fn encoded_records_in_a_request_are_the_messages_themselves() {
        let record = LogRecord { event_name: "taskscope.gap".into(), ..LogRecord::default() }.encode_to_vec();
        let logs = ScopeLogs { log_records: vec![record.clone().into()], ..ScopeLogs::default() };
        // Field 2, wire type 2 (length-delimited), as a repeated message is written.
        let expected = [&[2 << 3 | 2, record.len() as u8], &record[..]].concat();
        assert_eq!(logs.encode_to_vec(), expected);
    }
}
