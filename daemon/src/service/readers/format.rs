//! How an event is written for a reader.
//!
//! This file writes server-sent events itself, because axum's `Sse` encodes each event for each reader. Here an event is
//! encoded once for all readers of one layout.

use std::sync::Arc;

use crate::{
    answer::life,
    cgroup::Place,
    export::{
        Stamp,
        json::{self, Encoder},
        schema::Schema,
        text,
    },
    lineage::effect::{Action, Effect},
};

/// The text of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::service) enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// One aligned line.
    Text,
    /// One aligned line with colours.
    Colour,
    /// One JSON object for each life that has ended.
    Life,
}

/// A format with the schema of its JSON, and whether each text is wrapped in a server-sent event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::service) struct Layout {
    pub(in crate::service) format: Format,
    pub(in crate::service) schema: Schema,
    pub(in crate::service) server_sent: bool,
}

/// The bytes before the text of a server-sent event.
const DATA: &[u8] = b"\ndata: ";

impl Format {
    /// Whether an event is a line of JSON, which a schema describes.
    pub(in crate::service) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Life)
    }

    fn write(
        self,
        encoder: Option<&mut Encoder>,
        effect: &Effect,
        sequence: u64,
        stamp: &Stamp,
        place: Option<&Arc<Place>>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Json => match encoder {
                Some(encoder) => encoder.write(effect, sequence, stamp, place, out),
                None => json::write(effect, sequence, stamp, place.map(AsRef::as_ref), out),
            },
            Self::Text => text::write(effect, stamp, false, out),
            Self::Colour => text::write(effect, stamp, true, out),
            Self::Life => {
                // The filter of a reader of lives passes no other event.
                if let Action::Released { life: Some(life), .. } = &effect.action {
                    life::write(life, stamp, place.map(AsRef::as_ref), out);
                }
            }
        }
    }
}

impl Layout {
    /// Appends the text of an event, without what is around it. `encoder` is for many events in succession.
    pub(super) fn write(
        self,
        encoder: Option<&mut Encoder>,
        effect: &Effect,
        sequence: u64,
        stamp: &Stamp,
        place: Option<&Arc<Place>>,
        out: &mut Vec<u8>,
    ) {
        self.schema.write(out, |out| self.format.write(encoder, effect, sequence, stamp, place, out));
    }

    /// Returns the layout with the same format, with or without server-sent events.
    pub(super) const fn other(self) -> Self {
        Self { server_sent: !self.server_sent, ..self }
    }

    /// Wraps what `write` adds, with the event's id and name. Each text ends with a line feed; a second one ends the
    /// server-sent event.
    pub(super) fn wrap(
        self,
        instance: &str,
        sequence: u64,
        action: &str,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.server_sent {
            out.extend_from_slice(format!("id: {instance}-{sequence}\nevent: {action}\ndata: ").as_bytes());
        }
        write(out);
        if self.server_sent {
            out.push(b'\n');
        }
    }

    /// The text inside a server-sent event that [`Layout::wrap`] made.
    pub(super) fn unwrapped(piece: &[u8]) -> Option<&[u8]> {
        let start = piece.windows(DATA.len()).position(|window| window == DATA)? + DATA.len();
        piece.get(start..piece.len().checked_sub(1)?)
    }

    /// Appends a gap: events are missing.
    pub(super) fn write_gap(self, place: &str, lost: Option<u64>, out: &mut Vec<u8>) {
        if self.server_sent {
            out.extend_from_slice(b"event: gap\ndata: ");
        }
        match self.format {
            Format::Json | Format::Life => self.schema.write(out, |out| json::write_gap(place, lost, out)),
            Format::Text | Format::Colour => text::write_gap(place, lost, out),
        }
        if self.server_sent {
            out.push(b'\n');
        }
    }

    /// Appends a heartbeat: it shows that no event has happened, and after which event a reader can resume.
    pub(super) fn write_heartbeat(self, instance: &Arc<str>, sequence: u64, out: &mut Vec<u8>) {
        let text = match (self.server_sent, self.format) {
            // This is a comment and an id without data: browsers keep the id and deliver no event.
            (true, _) => format!(": keep-alive\nid: {instance}-{sequence}\n\n"),
            (false, Format::Json | Format::Life) => {
                let line = format!("{{\"event\":{{\"action\":\"heartbeat\",\"sequence\":{sequence}}}}}\n");
                return self.schema.convert(line.as_bytes(), out);
            }
            (false, Format::Text | Format::Colour) => "\n".to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sent_event_gives_back_the_text_inside_it() {
        let layout = Layout { server_sent: true, ..Layout::default() };
        let mut piece = Vec::new();
        layout.wrap("1f", 7, "forked", &mut piece, |out| out.extend_from_slice(b"{\"a\":\"\\ndata: \"}\n"));
        assert_eq!(piece, b"id: 1f-7\nevent: forked\ndata: {\"a\":\"\\ndata: \"}\n\n");
        assert_eq!(Layout::unwrapped(&piece), Some(&b"{\"a\":\"\\ndata: \"}\n"[..]));
        assert_eq!(Layout::unwrapped(b""), None);
    }

    #[test]
    fn gaps_and_heartbeats_have_a_time_and_a_host_in_the_schemas_of_others() {
        for (schema, time, host) in
            [(Schema::Ecs, "/@timestamp", "/host/name"), (Schema::Otel, "/timestamp", "/host.name")]
        {
            let layout = Layout { schema, ..Layout::default() };
            let mut lines = Vec::new();
            layout.write_gap("output", Some(7), &mut lines);
            layout.write_heartbeat(&"1f".into(), 9, &mut lines);
            let text = String::from_utf8(lines).unwrap();
            assert_eq!(text.lines().count(), 2, "{text}");
            for line in text.lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(value.pointer(time).is_some() && value.pointer(host).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn a_heartbeat_is_json_where_events_are() {
        let mut line = Vec::new();
        Layout::default().write_heartbeat(&"1f".into(), 9, &mut line);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            (value["event"]["action"].as_str(), value["event"]["sequence"].as_u64()),
            (Some("heartbeat"), Some(9))
        );
    }
}
