//! The journal, by its native protocol: one datagram for each entry, with fields (`systemd.io/JOURNAL_NATIVE_PROTOCOL`).
//! taskscope writes the protocol itself, which takes a few lines. The crates for it connect their socket, so the sandbox would have
//! to allow connect(2) each time journald is restarted. An entry always fits into a datagram, so no memfd is needed.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use axum::body::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Happened, Outcome, Rest};
use crate::export::json;
use crate::outputs::{
    message::{self, Severity},
    spill::Record,
};

/// The socket to journald.
#[derive(Debug)]
pub(in crate::outputs) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journald {
    /// Creates the socket from which it sends, because the sandbox allows no new sockets later.
    pub(in crate::outputs) fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends records until one is refused.
    pub(in crate::outputs) fn send(&self, records: &[Record]) -> Outcome {
        for (accepted, record) in records.iter().enumerate() {
            let Err(error) = self.socket.send_to(&record.bytes, &self.path) else { continue };
            let why = format!("sending to {}: {error}", self.path.display());
            let is_too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
            let rest = if is_too_long { Rest::Refused(why) } else { Rest::Retry { why, after: None } };
            return Outcome { accepted, rest };
        }
        Outcome { accepted: records.len(), rest: Rest::None }
    }
}

/// Encodes an event.
pub(in crate::outputs) fn encode(happened: &Happened<'_>) -> Bytes {
    let effect = happened.effect;
    let mut entry = head(effect.action.name(), Severity::of(effect), &message::of(effect));
    let mut line = Vec::new();
    json::write(effect, happened.sequence, happened.stamp, happened.place, &mut line);
    let mut value: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        // journald adds `_HOSTNAME`, `_MACHINE_ID` and `_BOOT_ID`.
        fields.remove("host");
    }
    flatten(&mut entry, "TASKSCOPE", &value);
    field(&mut entry, "TASKSCOPE_INSTANCE", happened.instance.as_bytes());
    entry.into()
}

/// Encodes a gap.
pub(in crate::outputs) fn encode_gap(place: &str, lost: u64) -> Bytes {
    let mut entry = head("gap", Severity::Warning, &message::of_gap(place, lost));
    field(&mut entry, "TASKSCOPE_EVENT_ACTION", b"gap");
    field(&mut entry, "TASKSCOPE_GAP_PLACE", place.as_bytes());
    field(&mut entry, "TASKSCOPE_GAP_LOST", lost.to_string().as_bytes());
    entry.into()
}

/// The `MESSAGE_ID` of an action: the first 128 bits of SHA-256 of `taskscope event ACTION`. So it is the same in every version.
pub(in crate::outputs) fn message_id(action: &str) -> String {
    let sum = Sha256::digest(format!("taskscope event {action}"));
    sum.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

fn head(action: &str, severity: Severity, message: &str) -> Vec<u8> {
    let mut entry = Vec::with_capacity(2048);
    field(&mut entry, "MESSAGE", message.as_bytes());
    field(&mut entry, "MESSAGE_ID", message_id(action).as_bytes());
    field(&mut entry, "PRIORITY", severity.syslog().to_string().as_bytes());
    field(&mut entry, "SYSLOG_IDENTIFIER", b"taskscope");
    entry
}

/// Writes each value of an object as a field whose name is the path: `process.pid` becomes `TASKSCOPE_PROCESS_PID`.
fn flatten(entry: &mut Vec<u8>, name: &str, value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.trim_start_matches('@').to_ascii_uppercase();
                flatten(entry, &format!("{name}_{key}"), value);
            }
        }
        serde_json::Value::String(text) => field(entry, name, text.as_bytes()),
        other => field(entry, name, other.to_string().as_bytes()),
    }
}

/// Writes one field. A value with a line feed is preceded by its length.
fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::ActionKind;

    #[test]
    fn a_value_with_a_line_feed_has_its_length() {
        let mut entry = Vec::new();
        field(&mut entry, "A", b"b=c");
        field(&mut entry, "D", b"e\nf");
        assert_eq!(entry, b"A=b=c\nD\n\x03\0\0\0\0\0\0\0e\nf\n");
    }

    #[test]
    fn the_document_has_the_message_ids() {
        let document = include_str!("../../../../docs/outputs.md");
        for name in ActionKind::ALL.map(ActionKind::name).into_iter().chain(["gap"]) {
            let row = format!("| `{name}` | `{}` |", message_id(name));
            assert!(document.contains(&row), "docs/outputs.md lacks this row:\n{row}");
        }
    }

    #[test]
    fn names_of_fields_are_those_that_journald_takes() {
        let value = serde_json::json!({"@timestamp": "t", "a": {"b_c": 1, "d": [1]}});
        let mut entry = Vec::new();
        flatten(&mut entry, "TASKSCOPE", &value);
        let text = String::from_utf8(entry).unwrap();
        assert_eq!(text, "TASKSCOPE_TIMESTAMP=t\nTASKSCOPE_A_B_C=1\nTASKSCOPE_A_D=[1]\n");
    }
}
