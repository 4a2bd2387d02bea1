//! Events as JSON documents, for targets that take documents of any schema.
//!
//! A document is a line of `taskscope events` in that schema, with the field `instance`, which with `event.sequence` identifies the event.

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::Happened;
use crate::export::{SharedHost, json as lines, schema::Schema};

/// Encodes an event, with a line feed after it.
pub(super) fn encode(happened: &Happened<'_>, schema: Schema) -> Bytes {
    let mut document = Vec::with_capacity(1024);
    schema.write(&mut document, |line| {
        lines::write(happened.effect, happened.sequence, happened.stamp, happened.place, line);
        add_instance(line, happened.instance);
    });
    document.into()
}

/// Encodes a gap, with a line feed after it.
pub(super) fn encode_gap(place: &str, lost: u64, wall_ns: i128, schema: Schema) -> Bytes {
    let at = Timestamp::from_nanosecond(wall_ns).unwrap_or_default();
    let gap = json!({
        "@timestamp": format!("{at:.9}"),
        "event": { "action": "gap" },
        "host": SharedHost::this(),
        "gap": { "place": place, "lost": lost },
    });
    let mut document = Vec::new();
    schema.write(&mut document, |line| line.extend_from_slice(format!("{gap}\n").as_bytes()));
    document.into()
}

/// Adds the field `instance` at the end of an object and its line.
fn add_instance(line: &mut Vec<u8>, instance: &str) {
    if line.ends_with(b"}\n") {
        line.truncate(line.len() - 2);
        // An instance is a number in hexadecimal digits.
        line.extend_from_slice(format!(",\"instance\":\"{instance}\"}}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn gap(schema: Schema) -> Value {
        let bytes = encode_gap("output", 7, 1_500_000_000, schema);
        assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1), "one line");
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_gap_is_a_document_of_each_schema() {
        let native = gap(Schema::Native);
        assert_eq!(
            (&native["@timestamp"], &native["gap"]["lost"]),
            (&"1970-01-01T00:00:01.500000000Z".into(), &7.into())
        );
        let ecs = gap(Schema::Ecs);
        assert_eq!(
            (&ecs["event"]["kind"], &ecs["taskscope"]["gap"]["lost"]),
            (&"pipeline_error".into(), &7.into())
        );
        let otel = gap(Schema::Otel);
        assert_eq!((&otel["event.name"], &otel["taskscope.gap.lost"]), (&"taskscope.gap".into(), &7.into()));
        assert!(native["host"]["name"] == ecs["host"]["name"] && native["host"]["name"] == otel["host.name"]);
    }

    #[test]
    fn the_instance_is_a_field_of_the_object() {
        let mut line = b"{\"a\":{\"b\":1}}\n".to_vec();
        add_instance(&mut line, "1f");
        assert_eq!(line, b"{\"a\":{\"b\":1},\"instance\":\"1f\"}\n");
    }
}
