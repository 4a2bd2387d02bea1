//! An event: one NDJSON line of taskscope.

use std::{fmt, sync::OnceLock};

use anyhow::Context as _;
use serde_json::Value;

/// An event as taskscope printed it, with the fields that every search needs.
///
/// A storm makes tens of thousands of events, so each is kept as its line, and parsed again when other fields are needed.
#[derive(Clone, Debug)]
pub struct Event {
    line: Box<str>,
    json: OnceLock<Value>,
    start_ns: Option<u64>,
    /// `event.action`.
    pub action: String,
    /// `event.sequence`.
    pub sequence: u64,
    /// `process.pid`: the thread group.
    pub pid: i64,
    /// `thread.id`: the task.
    pub tid: i64,
    /// `boottime_ns`.
    pub at_ns: u64,
}

impl Event {
    /// Parses a line; fails if a field that every event has is missing.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let json: Value = serde_json::from_str(line).context("not JSON")?;
        let word = |path: &str| get(&json, path).with_context(|| format!("no `{path}`"));
        let number =
            |path: &str| word(path)?.as_u64().with_context(|| format!("`{path}` is no number of 0 or above"));
        word("@timestamp")?;
        let action = word("event.action")?.as_str().context("`event.action` is no string")?.to_owned();
        let sequence = number("event.sequence")?;
        let pid = i64::try_from(number("process.pid")?)?;
        let tid = i64::try_from(number("thread.id")?)?;
        let at_ns = number("boottime_ns")?;
        if let Some(path) = find_null(&json, "") {
            anyhow::bail!("`{path}` is null: what is unknown must be absent");
        }
        let start_ns = get(&json, "task.start_boottime_ns").and_then(Value::as_u64);
        Ok(Self { line: line.into(), json: OnceLock::new(), start_ns, action, sequence, pid, tid, at_ns })
    }

    /// Returns the value at a dotted path; `None` if it is absent.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        get(self.json.get_or_init(|| self.parsed()), path)
    }

    /// Returns the string at a dotted path.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// Returns the integer at a dotted path.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<i64> {
        self.get(path)?.as_i64()
    }

    /// Whether any pid or tid in the event, including those of a parent or reaper, is `id`.
    #[must_use]
    pub fn concerns(&self, id: i64) -> bool {
        self.line.contains(&id.to_string()) && mentions(&self.parsed(), id)
    }

    /// Returns the start of the task, ns since boot.
    #[must_use]
    pub fn start_ns(&self) -> Option<u64> {
        self.start_ns
    }

    fn parsed(&self) -> Value {
        // The line was valid JSON when the event was made.
        serde_json::from_str(&self.line).unwrap_or_default()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

fn get<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(json, |value, key| value.get(key))
}

fn find_null(json: &Value, path: &str) -> Option<String> {
    match json {
        Value::Null => Some(path.to_owned()),
        Value::Object(map) => map.iter().find_map(|(key, value)| find_null(value, &format!("{path}.{key}"))),
        Value::Array(list) => list.iter().find_map(|value| find_null(value, &format!("{path}[]"))),
        _ => None,
    }
}

/// Keys that hold the id of a task somewhere in an event.
const ID_KEYS: [&str; 8] =
    ["pid", "tid", "id", "parent_pid", "old_parent_pid", "new_parent_pid", "tracer_pid", "old_tid"];

fn mentions(json: &Value, id: i64) -> bool {
    json.as_object().is_some_and(|map| {
        map.iter().any(|(key, value)| {
            (ID_KEYS.contains(&key.as_str()) && value.as_i64() == Some(id)) || mentions(value, id)
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SAMPLE: &str = r#"{"@timestamp":"2026-11-20T21:30:00.123456789Z",
        "event":{"action":"exited","sequence":17},"boottime_ns":1500000000,
        "process":{"pid":4711,"parent_pid":4000,"name":"sh","exit":{"status":1792,"code":7}},
        "thread":{"id":4711,"name":"sh"},
        "task":{"kind":"process","exit_signal":17,"exit_state":"EXIT_ZOMBIE","start_boottime_ns":1234567890,
        "clone_flags":["CLONE_CHILD_SETTID"],"provenance":"observed"}}"#;

    #[test]
    fn dotted_paths_reach_into_the_line() {
        let event = Event::parse(SAMPLE).unwrap();
        assert_eq!(event.number("process.exit.code"), Some(7));
        assert_eq!(event.text("task.exit_state"), Some("EXIT_ZOMBIE"));
        assert_eq!(event.get("process.exit.signal"), None);
        assert_eq!((event.pid, event.tid, event.sequence), (4711, 4711, 17));
        assert!(event.concerns(4000), "the parent is mentioned");
        assert!(!event.concerns(1792), "a status is no pid");
    }

    #[test]
    fn a_null_is_an_error_that_names_its_path() {
        let error = Event::parse(&SAMPLE.replace("\"sh\",\"exit\"", "null,\"exit\"")).unwrap_err();
        assert!(error.to_string().contains("process.name"), "{error}");
    }

    #[test]
    fn a_missing_sequence_is_an_error() {
        let error = Event::parse(&SAMPLE.replace("sequence", "sequel")).unwrap_err();
        assert!(error.to_string().contains("event.sequence"), "{error}");
    }
}
