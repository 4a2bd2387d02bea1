//! The published definitions of fields that tests/schemas/ has, and the check of a line by them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) const ECS: &str = include_str!("../../../tests/schemas/ecs-9.4.0.csv");
pub(crate) const OTEL: &str = include_str!("../../../tests/schemas/otel-1.44.0.csv");

/// Rows of a file: the first cell, and the other two.
fn rows(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.splitn(3, ',');
        (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
    })
}

/// Adds the leaves of a document, which are all values except objects, by their paths.
fn leaves<'a>(path: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, found);
            }
        }
        // A store indexes each object of a list as if it were there alone.
        Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            for inner in list {
                leaves(path, inner, found);
            }
        }
        _ => found.push((path.to_owned(), value)),
    }
}

fn is_date(text: &str) -> bool {
    let form = |c: char| if c.is_ascii_digit() { '9' } else { c };
    let text: String = text.chars().map(form).collect();
    let fraction = text.strip_prefix("9999-99-99T99:99:99.").and_then(|rest| rest.strip_suffix('Z'));
    fraction.is_some_and(|digits| matches!(digits.len(), 3 | 9) && digits.chars().all(|c| c == '9'))
}

fn is_long(value: &Value) -> bool {
    value.as_i64().is_some()
}

/// The type that Elasticsearch gives a field by the first value that it sees; values of arrays count one by one.
fn mapped(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_long(value) => "long",
        Value::Number(_) => "a number that is no long",
        Value::String(_) => "keyword",
        Value::Array(list) => return list.first().and_then(mapped),
        Value::Object(_) => "object",
    })
}

/// Checks documents of ECS.
#[derive(Default)]
pub(crate) struct Ecs {
    /// The types of taskscope's own fields in all documents so far.
    own: BTreeMap<String, &'static str>,
    /// The fields of all documents so far.
    pub(crate) seen: BTreeSet<String>,
}

impl Ecs {
    #[track_caller]
    pub(crate) fn check(&mut self, document: &Value) {
        let mut found = Vec::new();
        leaves("", document, &mut found);
        for (path, value) in found {
            self.seen.insert(path.clone());
            if path.starts_with("taskscope.") {
                self.check_own(&path, value);
                continue;
            }
            let row = rows(ECS).find(|(name, ..)| *name == path);
            let (_, kind, normal) = row.unwrap_or_else(|| panic!("{path} is no field of ECS: {document}"));
            assert_eq!(normal == "array", value.is_array(), "{path}: {value}");
            for one in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                let fits = match kind {
                    "keyword" | "wildcard" => one.is_string(),
                    "long" => is_long(one),
                    "date" => one.as_str().is_some_and(is_date),
                    "boolean" => one.is_boolean(),
                    other => panic!("{path}: what is a {other}?"),
                };
                assert!(fits, "{path} is a {kind} and not {one}");
                let lists = rows(ECS).filter(|(what, name, _)| {
                    *name == path
                        && (*what == "allowed"
                            || *what == "expected" && document["event"].get("category").is_some())
                });
                for (_, _, allowed) in lists {
                    assert!(allowed.split('|').any(|it| one == it), "{path} can be {allowed}, and is {one}");
                }
            }
        }
        // Stores refuse documents without it.
        for field in ["/@timestamp", "/ecs/version", "/event/kind", "/event/type", "/event/action"] {
            assert!(document.pointer(field).is_some(), "no {field}: {document}");
        }
        for field in document.as_object().unwrap().keys() {
            let is_known = rows(ECS).any(|(name, ..)| name.split('.').next() == Some(field));
            assert!(is_known || field == "taskscope", "{field}");
        }
    }

    fn check_own(&mut self, path: &str, value: &Value) {
        let Some(kind) = mapped(value) else { return };
        assert!(matches!(kind, "boolean" | "long" | "keyword"), "{path}: {kind}: {value}");
        let first = self.own.entry(path.to_owned()).or_insert(kind);
        assert_eq!(*first, kind, "{path} has values of two types");
        let inside = format!("{path}.");
        let below = self.own.keys().find(|other| other.starts_with(&inside));
        assert_eq!(below, None, "{path} is a value and an object");
    }
}

/// Checks a flat object of attributes.
#[track_caller]
pub(crate) fn check_otel(document: &Value) {
    for (name, value) in document.as_object().unwrap() {
        // Fields of the logs data model.
        if name == "timestamp" || name == "event.name" {
            assert!(value.is_string(), "{name}: {value}");
            continue;
        }
        if name.starts_with("taskscope.") {
            continue;
        }
        let row = rows(OTEL).find(|(known, ..)| known == name);
        let (_, kind, _) = row.unwrap_or_else(|| panic!("{name} is no attribute of the conventions"));
        let fits = match kind {
            "string" => value.is_string(),
            "int" => is_long(value),
            "string[]" => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            other => panic!("{name}: what is a {other}?"),
        };
        assert!(fits, "{name} is a {kind} and not {value}");
    }
    assert!(document.get("timestamp").is_some() && document.get("event.name").is_some(), "{document}");
}
