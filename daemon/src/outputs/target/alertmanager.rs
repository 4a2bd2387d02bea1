//! An Alertmanager: sends flagged zombies, sleeps, exits and leaks as alerts, by `POST /api/v2/alerts`.
//!
//! An alert fires from the event that flags a condition until the event that clears it. Alertmanager forgets an alert that is not
//! repeated, so firing alerts are sent again each minute, with an end some minutes in the future: if taskscope ends, they end soon
//! after.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Happened, Outcome, Rest, client::Client};
use crate::outputs::{message, spill::Record};
use crate::{
    export::json as lines,
    host::Identity,
    lineage::{
        death::Cause,
        effect::{Action, Effect},
    },
};

/// The interval at which firing alerts are sent again.
pub(in crate::outputs) const REPEAT: Duration = Duration::from_secs(60);

/// An alert that is not sent again ends after this time.
const LASTS: Duration = Duration::from_secs(240);

/// The most alerts that are repeated; further ones are sent once.
const FIRING_MOST: usize = 1024;

/// The alert of an event, as a record has it: the alert of the API with what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Alert {
    key: String,
    state: AlertState,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
}

/// What an event does to its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum AlertState {
    /// It fires from now on.
    Fires,
    /// It ends.
    Ends,
    /// It happened once, and no event ends it.
    Once,
}

/// The connection, and the alerts that fire.
#[derive(Debug)]
pub(in crate::outputs) struct Alertmanager {
    client: Client,
    firing: BTreeMap<String, Alert>,
}

impl Alertmanager {
    pub(in crate::outputs) const fn new(client: Client) -> Self {
        Self { client, firing: BTreeMap::new() }
    }

    /// Sends the alerts of records.
    pub(in crate::outputs) async fn send(&mut self, records: &[Record]) -> Outcome {
        let now = Timestamp::now();
        let mut alerts = Vec::new();
        let mut firing = self.firing.clone();
        for record in records {
            let Ok(alert) = serde_json::from_slice::<Alert>(&record.bytes) else { continue };
            match alert.state {
                AlertState::Once => alerts.push(alert.to_json(in_a_while(now))),
                AlertState::Fires => {
                    alerts.push(alert.to_json(in_a_while(now)));
                    if firing.len() < FIRING_MOST {
                        firing.insert(alert.key.clone(), alert);
                    }
                }
                AlertState::Ends => {
                    // An alert that did not fire need not be ended.
                    if let Some(fired) = firing.remove(&alert.key) {
                        alerts.push(fired.to_json(now));
                    }
                }
            }
        }
        if alerts.is_empty() {
            return Outcome { accepted: records.len(), rest: Rest::None };
        }
        let outcome = self.post(alerts, records.len()).await;
        if outcome.accepted > 0 {
            self.firing = firing;
        }
        outcome
    }

    /// Sends the alerts that fire again.
    pub(in crate::outputs) async fn repeat(&mut self) -> Outcome {
        if self.firing.is_empty() {
            return Outcome { accepted: 0, rest: Rest::None };
        }
        let until = in_a_while(Timestamp::now());
        let alerts: Vec<_> = self.firing.values().map(|alert| alert.to_json(until)).collect();
        self.post(alerts, 0).await
    }

    async fn post(&mut self, alerts: Vec<serde_json::Value>, count: usize) -> Outcome {
        let body = serde_json::Value::Array(alerts).to_string();
        match self.client.post(body.into_bytes().into(), "application/json").await {
            Ok(answer) => answer.outcome(count),
            Err(why) => Outcome { accepted: 0, rest: Rest::Retry { why, after: None } },
        }
    }
}

impl Alert {
    fn to_json(&self, ends_at: Timestamp) -> serde_json::Value {
        json!({
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts_at,
            "endsAt": ends_at.to_string(),
        })
    }
}

fn in_a_while(now: Timestamp) -> Timestamp {
    now.checked_add(LASTS).unwrap_or(now)
}

/// The name of an event's alert, and what the event does to it; `None` for an event that is no alert.
fn alert_of(effect: &Effect) -> Option<(&'static str, AlertState)> {
    match &effect.action {
        Action::ZombieFlagged { .. } => Some(("TaskscopeZombie", AlertState::Fires)),
        Action::Reaped { .. } => Some(("TaskscopeZombie", AlertState::Ends)),
        Action::BlockedFlagged(_) => Some(("TaskscopeBlocked", AlertState::Fires)),
        Action::BlockedCleared { .. } => Some(("TaskscopeBlocked", AlertState::Ends)),
        Action::LeakFlagged(_) => Some(("TaskscopeLeak", AlertState::Fires)),
        Action::LeakCleared(_) => Some(("TaskscopeLeak", AlertState::Ends)),
        Action::ExitStuck { .. } => Some(("TaskscopeExitStuck", AlertState::Once)),
        Action::GroupExited { death: Some(death), .. } if death.cause == Cause::Oom => {
            Some(("TaskscopeOomKill", AlertState::Once))
        }
        Action::GroupExited { death: Some(death), .. } if death.is_foreign() => {
            Some(("TaskscopeKilled", AlertState::Once))
        }
        _ => None,
    }
}

/// Encodes an event; `None` for one that is no alert.
pub(in crate::outputs) fn encode(happened: &Happened<'_>) -> Option<Bytes> {
    let effect = happened.effect;
    let (name, state) = alert_of(effect)?;
    let mut line = Vec::new();
    lines::write(effect, happened.sequence, happened.stamp, happened.place, &mut line);
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
    let text = |pointer: &str| {
        value.pointer(pointer).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut labels = labels(name, happened.host);
    for (label, pointer) in [
        ("comm", "/process/name"),
        ("pid", "/process/pid"),
        ("entity_id", "/process/entity_id"),
        ("unit", "/cgroup/unit"),
        ("container_id", "/container/id"),
        ("pod_uid", "/pod/uid"),
        ("k8s_namespace", "/pod/namespace"),
        ("k8s_pod", "/pod/name"),
        ("k8s_container", "/container/name"),
        ("parent_comm", "/task/parent_name"),
        ("leak", "/task/leak/kind"),
    ] {
        labels.extend(text(pointer).map(|value| (label.to_owned(), value)));
    }
    let kind = text("/task/leak/kind").unwrap_or_default();
    // A sleep is a thread's; a zombie and a leak are a process's.
    let task = if name == "TaskscopeBlocked" { effect.thread.key.tid.0 } else { effect.process.key.tgid.0 };
    let entity = text("/process/entity_id").unwrap_or_default();
    let alert = Alert {
        key: format!("{name} {entity} {task} {kind}"),
        state,
        labels,
        annotations: BTreeMap::from([("summary".to_owned(), message::of(effect))]),
        starts_at: happened.stamp.timestamp(effect.at),
    };
    serde_json::to_vec(&alert).ok().map(Bytes::from)
}

/// Encodes a gap.
pub(in crate::outputs) fn encode_gap(place: &str, lost: u64, wall_ns: i128, host: &Identity) -> Bytes {
    let mut labels = labels("TaskscopeEventsLost", host);
    labels.insert("place".into(), place.into());
    let alert = Alert {
        key: String::new(),
        state: AlertState::Once,
        labels,
        annotations: BTreeMap::from([("summary".to_owned(), message::of_gap(place, lost))]),
        starts_at: Timestamp::from_nanosecond(wall_ns).unwrap_or_default().to_string(),
    };
    serde_json::to_vec(&alert).unwrap_or_default().into()
}

fn labels(name: &str, host: &Identity) -> BTreeMap<String, String> {
    let severity = if name == "TaskscopeOomKill" { "critical" } else { "warning" };
    BTreeMap::from(
        [("alertname", name), ("instance", host.name.as_str()), ("severity", severity)]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    )
}
