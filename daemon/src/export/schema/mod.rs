//! Events and lives in other schemas. A line is encoded in the native schema and then converted, so that native lines cost nothing
//! more.
//!
//! - `ecs`: the Elastic Common Schema: nested objects
//! - `otel`: OpenTelemetry's semantic conventions: flat names. The output `otlp` uses the same names
//! - `fields`: moves values between objects by dotted paths

pub mod ecs;
pub mod otel;

mod fields;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::fields::{Fields, put, text_at};
use super::{answer, host::SharedHost, time::rfc3339};

/// The schema of lines of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schema {
    /// taskscope's own: docs/events.md, docs/lives.md.
    #[default]
    Native,
    /// The Elastic Common Schema.
    Ecs,
    /// OpenTelemetry's semantic conventions.
    Otel,
}

/// A name that is no schema.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no such schema; there are: native, ecs, otel")]
pub struct UnknownSchema(String);

/// The action of a line that is a life.
const LIFE: &str = "life";

/// Actions of lines without a process.
const GAP: &str = "gap";
const HEARTBEAT: &str = "heartbeat";

/// A number that can be larger than 2^63 - 1, the largest number of the other schemas; so it is always text.
const CGROUP_ID: &str = "task.cgroup_id";

impl Schema {
    /// All schemas.
    pub const ALL: [Self; 3] = [Self::Native, Self::Ecs, Self::Otel];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ecs => "ecs",
            Self::Otel => "otel",
        }
    }

    /// Returns the schema with this name.
    pub fn from_name(name: &str) -> Result<Self, UnknownSchema> {
        let found = Self::ALL.into_iter().find(|schema| schema.name() == name);
        found.ok_or_else(|| UnknownSchema(name.to_owned()))
    }

    /// Appends what `write` appends, in this schema. `write` appends native lines.
    pub fn write(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self == Self::Native {
            return write(out);
        }
        let mut lines = Vec::new();
        write(&mut lines);
        self.convert(&lines, out);
    }

    /// Appends native lines in this schema.
    pub fn convert(self, lines: &[u8], out: &mut Vec<u8>) {
        if self == Self::Native {
            return out.extend_from_slice(lines);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let Ok(fields) = serde_json::from_slice::<Fields>(line) else {
                // This is not a line that taskscope wrote. It is passed on unchanged, so that it is not lost.
                log::error!("schema {}: a line is not JSON and stays as it is", self.name());
                out.extend_from_slice(line);
                continue;
            };
            let fields = complete(fields);
            let fields = if self == Self::Ecs { ecs::convert(fields) } else { otel::convert(&fields) };
            // Serializing strings and numbers to memory does not fail.
            out.extend_from_slice(answer(&fields).unwrap_or_default().as_bytes());
            out.push(b'\n');
        }
    }
}

/// Adds the time and the host to gaps and heartbeats, which have neither: stores refuse documents without a time.
fn complete(mut fields: Fields) -> Fields {
    if !matches!(action(&fields), GAP | HEARTBEAT) {
        return fields;
    }
    if !fields.contains_key("@timestamp") {
        let mut now = Vec::new();
        rfc3339(&mut now, jiff::Timestamp::now().as_nanosecond());
        put(&mut fields, "@timestamp", String::from_utf8_lossy(&now).into_owned().into());
    }
    if !fields.contains_key("host")
        && let Ok(host) = serde_json::to_value(SharedHost::this())
    {
        put(&mut fields, "host", host);
    }
    fields
}

/// Returns the action of a native line.
fn action(fields: &Fields) -> &str {
    if fields.contains_key("life_version") {
        return LIFE;
    }
    text_at(fields, "event.action").unwrap_or_default()
}

/// Returns when the last task of a life died, as RFC 3339 in ms.
fn ended(fields: &Fields) -> Option<String> {
    let number = |name| fields.get(name).and_then(Value::as_i64);
    let released: jiff::Timestamp = text_at(fields, "@timestamp")?.parse().ok()?;
    // The line can come from a file.
    let before_ns = number("boottime_ns")?.checked_sub(number("ended_boottime_ns")?)?;
    let ended_ms = released.as_millisecond().checked_sub(before_ns / 1_000_000)?;
    Some(format!("{:.3}", jiff::Timestamp::from_millisecond(ended_ms).ok()?))
}
