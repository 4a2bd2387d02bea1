//! What an output sends to: how an event is encoded for it, and how encoded events are sent.
//!
//! `journald`, `otlp`, `alertmanager`, `http`, `nats`: one file or folder for each type; `document`: events as JSON documents;
//! `message`: documents with a subject and an id; `client`: connections to servers.

mod alertmanager;
pub(super) mod client;
mod document;
mod http;
mod journald;
mod message;
#[cfg(feature = "nats")]
mod nats;
mod otlp;

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;

use self::{
    alertmanager::Alertmanager,
    client::{Client, Names, Server},
    http::Http,
    journald::Journald,
    otlp::{Otlp, Transport},
};
use super::{OtlpProtocol, ServerSettings, SettingError, settings::TargetSettings, spill::Record};
use crate::{
    cgroup::Place,
    export::{Stamp, schema::Schema},
    host::Identity,
    lineage::effect::Effect,
};

/// An event, with what is needed to encode it.
pub(in crate::outputs) struct Happened<'a> {
    pub(in crate::outputs) effect: &'a Effect,
    pub(in crate::outputs) sequence: u64,
    pub(in crate::outputs) stamp: &'a Stamp,
    pub(in crate::outputs) place: Option<&'a Place>,
    pub(in crate::outputs) instance: &'a str,
    pub(in crate::outputs) host: &'a Identity,
}

/// The result of sending records.
#[derive(Debug)]
pub(in crate::outputs) struct Outcome {
    /// The number of records that the target acknowledged.
    pub(in crate::outputs) accepted: usize,
    pub(in crate::outputs) rest: Rest,
}

/// What happened to the records after the accepted ones.
#[derive(Debug)]
pub(in crate::outputs) enum Rest {
    /// There are no records after them.
    None,
    /// The target may accept the rest later.
    Retry { why: String, after: Option<Duration> },
    /// The target refuses the rest as a whole, because of at least one record in it.
    Refused(String),
    /// The target accepted the batch but left out `count` records.
    LeftOut { why: String, count: u64 },
}

/// The encoding of an output's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::outputs) enum Encoding {
    Journald,
    Otlp,
    Alerts,
    /// JSON documents, one a line.
    Documents(Schema),
    /// JSON documents with a subject and an id.
    Messages(Schema),
}

impl Encoding {
    pub(in crate::outputs) const fn of(target: &TargetSettings) -> Self {
        match target {
            TargetSettings::Journald { .. } => Self::Journald,
            TargetSettings::Otlp { .. } => Self::Otlp,
            TargetSettings::Alertmanager { .. } => Self::Alerts,
            TargetSettings::Http { schema, .. } => Self::Documents(*schema),
            TargetSettings::Nats { schema, .. } => Self::Messages(*schema),
        }
    }

    /// Encodes an event; `None` if this encoding has nothing for it.
    pub(in crate::outputs) fn event(self, happened: &Happened<'_>) -> Option<Bytes> {
        match self {
            Self::Journald => Some(journald::encode(happened)),
            Self::Otlp => Some(otlp::encode(happened)),
            Self::Alerts => alertmanager::encode(happened),
            Self::Documents(schema) => Some(document::encode(happened, schema)),
            Self::Messages(schema) => Some(message::encode(happened, schema)),
        }
    }

    /// Encodes a gap with the time at which it is reported, ns since the epoch.
    pub(in crate::outputs) fn gap(self, place: &str, lost: u64, wall_ns: i128, host: &Identity) -> Bytes {
        match self {
            Self::Journald => journald::encode_gap(place, lost),
            Self::Otlp => otlp::encode_gap(place, lost, wall_ns),
            Self::Alerts => alertmanager::encode_gap(place, lost, wall_ns, host),
            Self::Documents(schema) => document::encode_gap(place, lost, wall_ns, schema),
            Self::Messages(schema) => message::encode_gap(place, lost, wall_ns, host, schema),
        }
    }
}

/// Reads the files that a target needs, to find errors in them.
pub(in crate::outputs) fn check_files(settings: &TargetSettings) -> Result<(), SettingError> {
    #[cfg(feature = "nats")]
    if let TargetSettings::Nats { credentials: Some(file), .. } = settings {
        nats::check(file).map_err(|what| ("credentials", what))?;
    }
    let tls = settings.server().and_then(|server| server.tls.as_ref());
    tls.map_or(Ok(()), client::check)
}

/// The target of one output.
#[derive(Debug)]
pub(in crate::outputs) enum Target {
    Journald(Journald),
    Otlp(Otlp),
    Alertmanager(Alertmanager),
    Http(Http),
    #[cfg(feature = "nats")]
    Nats(nats::Nats),
}

impl Target {
    pub(in crate::outputs) fn new(
        settings: &TargetSettings,
        names: &Names,
        host: &Arc<Identity>,
        instance: &str,
    ) -> Result<Self, String> {
        let client = |server: &ServerSettings| Server::new(server, names, "http/1.1").map(Client::new);
        Ok(match settings {
            TargetSettings::Journald { socket } => {
                let journald = Journald::new(socket);
                Self::Journald(journald.map_err(|error| format!("making a socket for the journal: {error}"))?)
            }
            TargetSettings::Otlp { server, protocol } => {
                let transport = match protocol {
                    OtlpProtocol::HttpProtobuf => Transport::Http(client(server)?),
                    #[cfg(feature = "grpc")]
                    OtlpProtocol::Grpc => {
                        Transport::Grpc(client::Grpc::new(Server::new(server, names, "h2")?))
                    }
                    #[cfg(not(feature = "grpc"))]
                    OtlpProtocol::Grpc => return Err("needs the cargo feature grpc".into()),
                };
                Self::Otlp(Otlp::new(transport, host, instance))
            }
            TargetSettings::Alertmanager { server } => Self::Alertmanager(Alertmanager::new(client(server)?)),
            TargetSettings::Http { server, .. } => Self::Http(Http::new(client(server)?)),
            #[cfg(feature = "nats")]
            TargetSettings::Nats { server, credentials, .. } => {
                Self::Nats(nats::Nats::new(server.url.clone(), names.clone(), credentials.clone()))
            }
            #[cfg(not(feature = "nats"))]
            TargetSettings::Nats { .. } => return Err("needs the cargo feature nats".into()),
        })
    }

    /// The most records and bytes that are sent at once.
    pub(in crate::outputs) const fn batch(&self) -> (usize, usize) {
        match self {
            Self::Journald(_) | Self::Alertmanager(_) => (64, 256 << 10),
            Self::Otlp(_) | Self::Http(_) => (512, 1 << 20),
            #[cfg(feature = "nats")]
            Self::Nats(_) => (256, 1 << 20),
        }
    }

    /// Sends records.
    pub(in crate::outputs) async fn send(&mut self, records: &[Record]) -> Outcome {
        match self {
            Self::Journald(journald) => journald.send(records),
            Self::Otlp(otlp) => otlp.send(records).await,
            Self::Alertmanager(alerts) => alerts.send(records).await,
            Self::Http(http) => http.send(records).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.send(records).await,
        }
    }

    /// Returns the interval at which the target needs a message even if nothing happens; `None` if it needs none.
    pub(in crate::outputs) fn repeats_every(&self) -> Option<Duration> {
        matches!(self, Self::Alertmanager(_)).then_some(alertmanager::REPEAT)
    }

    /// Sends what has to be repeated.
    pub(in crate::outputs) async fn repeat(&mut self) -> Outcome {
        match self {
            Self::Alertmanager(alerts) => alerts.repeat().await,
            _ => Outcome { accepted: 0, rest: Rest::None },
        }
    }
}
