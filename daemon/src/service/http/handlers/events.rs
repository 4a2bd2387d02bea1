//! /v1/events: events as they happen, as NDJSON, or as server-sent events for clients that accept `text/event-stream`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{extract::check_conditions, stream::EventStream};
use crate::{
    duration,
    export::{EventSelection, schema::Schema},
    kernel::clock,
    lineage::id::Ktime,
    service::{
        INSTANCE,
        http::{api::Api, connections::connection::Connection, error::ApiError},
        readers::{Format, Layout, Wanted},
    },
};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The query of `/v1/events`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::service::http) struct EventsQuery {
    selection: EventSelection,
    after: Option<u64>,
    instance: Option<String>,
    since: Option<Duration>,
    limit: Option<u64>,
    format: Format,
    schema: Schema,
}

pub(in crate::service::http) async fn stream(
    State(api): State<Api>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut query = EventsQuery::parse(query.as_deref().unwrap_or_default())?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let server_sent = accepts.contains("text/event-stream");
    let kind = match query.format {
        _ if server_sent => EVENT_STREAM,
        Format::Json | Format::Life => NDJSON,
        Format::Text | Format::Colour => TEXT,
    };
    if let Some(last) = headers.get("last-event-id") {
        let (instance, after) = last_event(last.to_str().unwrap_or_default());
        (query.instance, query.after) = (Some(instance), Some(after));
    }
    let place = api.readers.admit(connection.peer)?;
    let instance = api.instance.clone();
    let is_ours = query.instance.as_deref().is_none_or(|asked| asked == &*instance);
    // A reader needs no turn: the number of readers is limited by their places, and joining is quick.
    let reader = api
        .ask_first(move |pipeline, service| {
            let filter = query.selection.filter(&pipeline.lineage)?;
            let after = query.after.map(|after| (after, is_ours));
            let since = query.since.map(|age| Ktime(clock::boottime().0.saturating_sub(duration::ns(age))));
            let EventsQuery { format, schema, limit, .. } = query;
            if format == Format::Life {
                pipeline.lineage.set_reports_lives(true);
            }
            let layout = Layout { format, schema, server_sent };
            let wanted = Wanted { filter, layout, after, since, limit };
            Ok(service.join(wanted))
        })
        .await?
        .map_err(|error: crate::export::UnknownAction| ApiError::bad_request(error.to_string()))?
        .ok_or_else(ApiError::no_memory)?;
    let instance = HeaderValue::from_str(&instance).map_err(|error| ApiError::internal(error.to_string()))?;
    connection.reads_events();
    let mut answer = Body::new(EventStream::new(reader, api, connection, place)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer.headers_mut().insert(INSTANCE, instance);
    Ok(answer)
}

/// Parses `Last-Event-ID`, which a browser's `EventSource` sends when it reconnects: INSTANCE-SEQUENCE. Any other value is
/// treated as another daemon's, so that the reader gets a gap.
fn last_event(id: &str) -> (String, u64) {
    let parts = id.rsplit_once('-').and_then(|(instance, after)| Some((instance, after.parse().ok()?)));
    let (instance, after) = parts.unwrap_or(("unknown", 0));
    (instance.to_owned(), after)
}

impl EventsQuery {
    pub(in crate::service::http) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            let list = || value.split(',').map(str::to_owned);
            let number = |what: &str| -> Result<u64, ApiError> {
                value.parse().map_err(|_| ApiError::bad_request(format!("{what}={value}: not a number")))
            };
            match &*key {
                "action" => query.selection.actions.extend(list()),
                "pid" => {
                    for pid in value.split(',') {
                        let pid = pid.parse();
                        query.selection.pids.push(
                            pid.map_err(|_| ApiError::bad_request(format!("pid={value}: not a number")))?,
                        );
                    }
                }
                "subtree" => {
                    let pid = u32::try_from(number("subtree")?);
                    query.selection.subtree =
                        Some(pid.map_err(|_| ApiError::bad_request(format!("subtree={value}: not a pid")))?);
                }
                "comm" => query.selection.comms.push(value),
                "unit" => query.selection.units.push(value),
                "container" => query.selection.containers.push(value),
                "after" => query.after = Some(number("after")?),
                "instance" => query.instance = Some(value),
                "since" => {
                    let age = duration::parse(&value);
                    query.since =
                        Some(age.map_err(|error| ApiError::bad_request(format!("since: {error}")))?);
                }
                "format" => {
                    query.format = match value.as_str() {
                        "json" => Format::Json,
                        "text" => Format::Text,
                        "colour" => Format::Colour,
                        "life" => Format::Life,
                        _ => {
                            let message = format!("format={value}: it must be json, text, colour or life");
                            return Err(ApiError::bad_request(message));
                        }
                    }
                }
                "schema" => {
                    let schema = Schema::from_name(&value);
                    query.schema =
                        schema.map_err(|error| ApiError::bad_request(format!("schema={error}")))?;
                }
                "limit" => query.limit = Some(number("limit")?),
                _ => {
                    return Err(ApiError::bad_request(format!(
                        "{key}: no such parameter; there are: action, pid, subtree, comm, unit, container, after, \
                         instance, since, limit, format, schema"
                    )));
                }
            }
        }
        if query.format == Format::Life {
            query.selection.lives = true;
        }
        // Text has no fields.
        if !query.format.is_json() {
            query.schema = Schema::Native;
        }
        let EventSelection { actions, comms, units, containers, .. } = &query.selection;
        check_conditions(&[actions.len(), comms.len(), units.len(), containers.len()])?;
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_decoded() {
        let query =
            EventsQuery::parse("action=exited,reaped&pid=1,2&comm=a%20b*&after=7&limit=3&subtree=9").unwrap();
        assert_eq!(query.selection.actions, ["exited", "reaped"]);
        assert_eq!(query.selection.pids, [1, 2]);
        assert_eq!(query.selection.comms, ["a b*"]);
        assert_eq!((query.after, query.limit, query.selection.subtree), (Some(7), Some(3), Some(9)));
        assert_eq!(EventsQuery::parse("schema=ecs&format=life").unwrap().schema, Schema::Ecs);
        assert_eq!(EventsQuery::parse("schema=ecs&format=text").unwrap().schema, Schema::Native);
        assert_eq!(EventsQuery::parse("").unwrap(), EventsQuery::default());
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for text in ["pdi=1", "pid=x", "after=-1", "limit=", "subtree=99999999999", "schema=x"] {
            assert!(EventsQuery::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_that_is_none_of_ours_is_another_daemons() {
        assert_eq!(last_event("1f-a-7"), ("1f-a".to_owned(), 7));
        for id in ["", "7", "x-", "x-y", "-"] {
            assert_eq!(last_event(id), ("unknown".to_owned(), 0), "{id}");
        }
    }

    #[test]
    fn a_value_with_a_broken_escape_is_taken_as_it_is() {
        let comms = |text: &str| EventsQuery::parse(text).unwrap().selection.comms;
        assert_eq!(comms("comm=%zz%4"), ["%zz%4"]);
        assert_eq!(comms("comm=a%2Cb+c%"), ["a,b c%"]);
        assert_eq!(comms("comm=%ff"), ["\u{fffd}"]);
    }
}
