//! What an output sends to: how an event is encoded for it, and how encoded events are sent.

use std::{io, sync::Arc, time::Duration};

use axum::body::Bytes;

use super::{
    alertmanager::{self, Alertmanager},
    buffer::Record,
    client::{Client, Names},
    journald::{self, Journald},
    otlp::{self, Otlp},
    settings::TargetSettings,
};
use crate::{cgroup::Place, export::Stamp, host::Identity, lineage::effect::Effect};

/// An event, with what is needed to encode it.
pub(super) struct Happened<'a> {
    pub(super) effect: &'a Effect,
    pub(super) sequence: u64,
    pub(super) stamp: &'a Stamp,
    pub(super) place: Option<&'a Place>,
    pub(super) instance: &'a str,
    pub(super) host: &'a Identity,
}

/// The result of sending records.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The number of records that the target acknowledged.
    pub(super) accepted: usize,
    pub(super) rest: Rest,
}

/// The result for the records after these.
#[derive(Debug)]
pub(super) enum Rest {
    /// There are none.
    None,
    /// The target may take them later.
    Retry { why: String, after: Option<Duration> },
    /// The target will not take them: all of them, or at least one.
    Refused(String),
    /// The target accepted the batch but left out `count` records.
    LeftOut { why: String, count: u64 },
}

/// The encoding of an output's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Journald,
    Otlp,
    Alerts,
}

impl Encoding {
    pub(super) const fn of(target: &TargetSettings) -> Self {
        match target {
            TargetSettings::Journald { .. } => Self::Journald,
            TargetSettings::Otlp { .. } => Self::Otlp,
            TargetSettings::Alertmanager { .. } => Self::Alerts,
        }
    }

    /// Encodes an event; `None` if this encoding has nothing for it.
    pub(super) fn event(self, happened: &Happened<'_>) -> Option<Bytes> {
        match self {
            Self::Journald => Some(journald::encode(happened)),
            Self::Otlp => Some(otlp::encode(happened)),
            Self::Alerts => alertmanager::encode(happened),
        }
    }

    /// Encodes a gap with the time at which it is reported, ns since the epoch.
    pub(super) fn gap(self, place: &str, lost: u64, wall_ns: i128, host: &Identity) -> Bytes {
        match self {
            Self::Journald => journald::encode_gap(place, lost),
            Self::Otlp => otlp::encode_gap(place, lost, wall_ns),
            Self::Alerts => alertmanager::encode_gap(place, lost, wall_ns, host),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) enum Target {
    Journald(Journald),
    Otlp(Otlp),
    Alertmanager(Alertmanager),
}

impl Target {
    pub(super) fn new(
        settings: &TargetSettings,
        names: &Names,
        host: &Arc<Identity>,
        instance: &str,
    ) -> io::Result<Self> {
        let client =
            |url: &super::url::Url| Client::new(url.clone(), settings.headers().to_vec(), names.clone());
        Ok(match settings {
            TargetSettings::Journald { socket } => Self::Journald(Journald::new(socket)?),
            TargetSettings::Otlp { url, .. } => Self::Otlp(Otlp::new(client(url), host, instance)),
            TargetSettings::Alertmanager { url, .. } => Self::Alertmanager(Alertmanager::new(client(url))),
        })
    }

    /// The most records and bytes that are sent at once.
    pub(super) const fn batch(&self) -> (usize, usize) {
        match self {
            Self::Journald(_) | Self::Alertmanager(_) => (64, 256 << 10),
            Self::Otlp(_) => (512, 1 << 20),
        }
    }

    /// Sends records.
    pub(super) async fn send(&mut self, records: &[Record]) -> Outcome {
        match self {
            Self::Journald(journald) => journald.send(records),
            Self::Otlp(otlp) => otlp.send(records).await,
            Self::Alertmanager(alerts) => alerts.send(records).await,
        }
    }

    /// Returns the interval at which the target needs a message even if nothing happens; `None` if it needs none.
    pub(super) fn repeats_every(&self) -> Option<Duration> {
        matches!(self, Self::Alertmanager(_)).then_some(alertmanager::REPEAT)
    }

    /// Sends what has to be repeated.
    pub(super) async fn repeat(&mut self) -> Outcome {
        match self {
            Self::Alertmanager(alerts) => alerts.repeat().await,
            _ => Outcome { accepted: 0, rest: Rest::None },
        }
    }
}
