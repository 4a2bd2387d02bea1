//! A JSON document with the subject under which it is published and the id by which the server recognises a repetition.

use axum::body::Bytes;

use super::{Happened, document};
use crate::{export::schema::Schema, host::Identity};

/// A message, as a record contains it: a line with the subject, a line with the id, and the document.
#[cfg(any(test, feature = "nats"))]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) id: String,
    pub(super) document: Bytes,
}

#[cfg(any(test, feature = "nats"))]
impl Message {
    /// Returns the message of a record; `None` if the record is of another type of output.
    pub(super) fn of(record: &Bytes) -> Option<Self> {
        let subject_end = record.iter().position(|byte| *byte == b'\n')?;
        let rest = record.get(subject_end + 1..)?;
        let id_end = subject_end + 1 + rest.iter().position(|byte| *byte == b'\n')?;
        let text = |range| String::from_utf8(record.get::<std::ops::Range<usize>>(range)?.to_vec()).ok();
        let (subject, id) = (text(0..subject_end)?, text(subject_end + 1..id_end)?);
        // Without the line feed at the end.
        let end = record.len() - usize::from(record.ends_with(b"\n"));
        let document = record.slice(id_end + 1..end.max(id_end + 1));
        subject.starts_with("taskscope.").then_some(Self { subject, id, document })
    }
}

/// Encodes an event.
pub(super) fn encode(happened: &Happened<'_>, schema: Schema) -> Bytes {
    let Happened { host, instance, sequence, effect, .. } = happened;
    let id = format!("{}-{instance}-{sequence}", host.boot_id.as_deref().unwrap_or_default());
    let document = document::encode(happened, schema);
    record(host, effect.action.name(), &id, &document)
}

/// Encodes a gap.
pub(super) fn encode_gap(place: &str, lost: u64, wall_ns: i128, host: &Identity, schema: Schema) -> Bytes {
    let id = format!("{}-gap-{place}-{wall_ns}", host.boot_id.as_deref().unwrap_or_default());
    record(host, "gap", &id, &document::encode_gap(place, lost, wall_ns, schema))
}

fn record(host: &Identity, action: &str, id: &str, document: &[u8]) -> Bytes {
    let subject = format!("taskscope.{}.{action}", token(&host.name));
    [subject.as_bytes(), b"\n", id.as_bytes(), b"\n", document].concat().into()
}

/// Returns a host's name as one token of a subject: letters, digits, `-` and `_`. A dot would begin the next token.
fn token(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let token: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if token.is_empty() { "unknown".into() } else { token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_host_is_one_token() {
        assert_eq!(token("node-1.example.org"), "node-1_example_org");
        assert_eq!([token("a b*>\u{e9}"), token("")], ["a_b___", "unknown"]);
    }

    #[test]
    fn a_record_has_the_subject_the_id_and_the_document() {
        let host = Identity { name: "n.x".into(), boot_id: Some("b".into()), ..Identity::default() };
        let record = encode_gap("output", 7, 5, &host, Schema::Native);
        let message = Message::of(&record).unwrap();
        assert_eq!((message.subject.as_str(), message.id.as_str()), ("taskscope.n_x.gap", "b-gap-output-5"));
        let document: serde_json::Value = serde_json::from_slice(&message.document).unwrap();
        assert_eq!(document["gap"]["lost"], 7);
        assert!(message.document.ends_with(b"}"));
        for other in [&b""[..], b"x", b"x\ny\n{}\n", b"taskscope.a.b\nid", b"\x0a\x02ab"] {
            assert_eq!(Message::of(&Bytes::copy_from_slice(other)), None, "{other:?}");
        }
    }
}
