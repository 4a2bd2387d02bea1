//! Attributes of a log record and of its resource, from the fields of an event as JSON.

use serde_json::Value;

use super::proto::{KeyValue, any, attribute, string};
use crate::outputs::target::Happened;
use crate::{export::json, host::Identity};

/// Fields of an event, and the attributes of the semantic conventions that have their values.
pub(super) const NAMES: [(&str, &str); 15] = [
    ("process.pid", "process.pid"),
    ("process.vpid", "process.vpid"),
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
    ("pod.uid", "k8s.pod.uid"),
    ("cgroup.path", "process.linux.cgroup"),
];

/// Objects that become one attribute each instead of one per field, because their fields differ from event to event.
const WHOLE: [&str; 3] = ["task.usage", "task.children_usage", "task.death"];

/// Returns the attributes of an event.
pub(super) fn of_event(happened: &Happened<'_>) -> Vec<KeyValue> {
    let mut line = Vec::new();
    json::write(happened.effect, happened.sequence, happened.stamp, happened.place, &mut line);
    let value: Value = serde_json::from_slice(&line).unwrap_or_default();
    let mut found = vec![attribute("taskscope.instance", string(happened.instance))];
    if let Some(start) = happened.effect.process.key.start {
        found.push(attribute("process.creation.time", string(happened.stamp.timestamp(start))));
    }
    let path = value.pointer("/process/executable/path").and_then(Value::as_str);
    if let Some(name) = path.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()) {
        found.push(attribute("process.executable.name", string(name)));
    }
    add(&mut found, "", &value);
    found
}

fn add(found: &mut Vec<KeyValue>, path: &str, value: &Value) {
    if let Value::Object(fields) = value
        && !WHOLE.contains(&path)
    {
        for (key, value) in fields {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            add(found, &path, value);
        }
        return;
    }
    // The record has a time of its own.
    if path == "@timestamp" {
        return;
    }
    let name = NAMES.iter().find(|(field, _)| *field == path).map(|(_, name)| (*name).to_owned());
    found.push(attribute(name.unwrap_or_else(|| format!("taskscope.{path}")), any(value)));
}

/// Returns the attributes of the host and of this daemon.
pub(super) fn of_resource(host: &Identity, instance: &str) -> Vec<KeyValue> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let known = [
        ("host.id", host.id.as_deref()),
        ("host.name", Some(host.name.as_str())),
        ("host.arch", Some(arch)),
        ("os.type", Some("linux")),
        ("os.version", Some(host.release.as_str())),
        ("os.description", host.os_name.as_deref()),
        ("service.name", Some("taskscope")),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", Some(instance)),
        ("taskscope.boot_id", host.boot_id.as_deref()),
    ];
    known.into_iter().filter_map(|(key, value)| Some(attribute(key, string(value?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_a_convention_are_taskscopes_own() {
        let value = serde_json::json!({
            "@timestamp": "t", "process": {"pid": 7, "entity_id": "a-7-1"}, "task": {"usage": {"a": 1}, "kind": "process"}
        });
        let mut found = Vec::new();
        add(&mut found, "", &value);
        let mut keys: Vec<_> = found.iter().map(|attribute| attribute.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["process.pid", "taskscope.process.entity_id", "taskscope.task.kind", "taskscope.task.usage"]
        );
    }

    #[test]
    fn the_document_has_the_attributes() {
        let document = include_str!("../../../../../docs/outputs.md");
        for (field, name) in NAMES {
            let row = format!("| `{field}` | `{name}` |");
            assert!(document.contains(&row), "docs/outputs.md lacks this row:\n{row}");
        }
    }
}
