//! OpenTelemetry's semantic conventions: a flat object of attributes.

use serde_json::{Map, Value};

use super::{
    CGROUP_ID, LIFE, action, ended,
    fields::{Fields, number_as_text, text_at},
};

/// The version of the semantic conventions.
pub const VERSION: &str = "1.44.0";

/// The URL of that version's schema.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Fields of events and lives, and the attributes of the semantic conventions that have their values.
pub const NAMES: [(&str, &str); 23] = [
    ("host.id", "host.id"),
    ("host.name", "host.name"),
    ("host.boot_id", "taskscope.boot_id"),
    ("process.pid", "process.pid"),
    ("process.vpid", "process.vpid"),
    ("process.start_timestamp", "process.creation.time"),
    ("start_timestamp", "process.creation.time"),
    ("process.parent_pid", "process.parent_pid"),
    ("process.name", "process.title"),
    ("process.executable.path", "process.executable.path"),
    ("process.command_args", "process.command_args"),
    ("process.user.id", "process.user.id"),
    ("process.real_user.id", "process.real_user.id"),
    ("process.exit.code", "process.exit.code"),
    ("thread.id", "thread.id"),
    ("thread.name", "thread.name"),
    ("container.id", "container.id"),
    ("container.runtime", "container.runtime.name"),
    ("container.name", "k8s.container.name"),
    ("pod.uid", "k8s.pod.uid"),
    ("pod.name", "k8s.pod.name"),
    ("pod.namespace", "k8s.namespace.name"),
    ("cgroup.path", "process.linux.cgroup"),
];

/// Attributes that are made from others, and their values.
pub const ADDED: [(&str, &str); 2] = [
    ("process.executable.name", "the last part of `process.executable.path`"),
    ("process.exit.time", "when the last task died: of `group_exited` and lives"),
];

/// Objects that become one attribute each instead of one per field, because their fields differ from line to line.
const WHOLE: [&str; 6] =
    ["task.usage", "task.children_usage", "task.death", "usage", "children_usage", "death"];

/// Returns a native line as a flat object: the time and the name of the logs data model, and the attributes.
pub(super) fn convert(line: &Fields) -> Fields {
    let mut out: Map<_, _> = attributes(line).into_iter().collect();
    if let Some(at) = line.get("@timestamp") {
        out.insert("timestamp".into(), at.clone());
    }
    out.insert("event.name".into(), event_name(action(line)).into());
    out
}

/// Returns the name of the event of an action.
#[must_use]
pub fn event_name(action: &str) -> String {
    format!("taskscope.{action}")
}

/// Returns the attributes of a native line.
#[must_use]
pub fn attributes(line: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let path = text_at(line, "process.executable.path");
    if let Some(name) = path.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()) {
        found.push(("process.executable.name".to_owned(), name.into()));
    }
    let ended = match action(line) {
        "group_exited" => line.get("@timestamp").cloned(),
        LIFE => ended(line).map(Value::from),
        _ => None,
    };
    found.extend(ended.map(|at| ("process.exit.time".to_owned(), at)));
    add(&mut found, "", line);
    found
}

fn add(found: &mut Vec<(String, Value)>, path: &str, fields: &Fields) {
    for (key, value) in fields {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Object(inner) if !WHOLE.contains(&&*path) => add(found, &path, inner),
            // A log record has a time of its own.
            _ if path == "@timestamp" => {}
            _ => {
                let name = NAMES.iter().find(|(field, _)| *field == path).map(|(_, name)| (*name).to_owned());
                let value = if path == CGROUP_ID { number_as_text(value.clone()) } else { value.clone() };
                found.push((name.unwrap_or_else(|| format!("taskscope.{path}")), value));
            }
        }
    }
}
