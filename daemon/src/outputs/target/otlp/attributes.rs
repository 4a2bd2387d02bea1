//! Attributes of a log record and of its resource, from the fields of an event as JSON.

use serde_json::{Map, Value};

use super::proto::{KeyValue, any, attribute, string};
use crate::{
    export::{json, schema::otel},
    host::Identity,
    outputs::target::Happened,
};

/// Attributes that the resource has.
const OF_RESOURCE: [&str; 3] = ["host.id", "host.name", "taskscope.boot_id"];

/// Returns the attributes of an event.
pub(super) fn of_event(happened: &Happened<'_>) -> Vec<KeyValue> {
    let mut line = Vec::new();
    json::write(happened.effect, happened.sequence, happened.stamp, happened.place, &mut line);
    let line: Map<String, Value> = serde_json::from_slice(&line).unwrap_or_default();
    let mut found = vec![attribute("taskscope.instance", string(happened.instance))];
    let of_line = otel::attributes(&line).into_iter().filter(|(name, _)| !OF_RESOURCE.contains(&&**name));
    found.extend(of_line.map(|(name, value)| attribute(name, any(&value))));
    found
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
    fn attributes_of_the_resource_are_in_the_conventions() {
        let published = include_str!("../../../../../tests/schemas/otel-1.44.0.csv");
        for attribute in of_resource(&Identity::read(), "1f") {
            let name = attribute.key;
            let row = format!("\n{name},string,");
            assert!(name.starts_with("taskscope.") || published.contains(&row), "{name}");
        }
    }
}
