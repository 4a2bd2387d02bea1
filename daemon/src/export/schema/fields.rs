//! Values in nested objects by dotted paths.

use serde_json::{Map, Value};

/// The fields of an object.
pub(super) type Fields = Map<String, Value>;

/// Returns the value at a path.
pub(super) fn at<'a>(fields: &'a Fields, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => fields.get(path),
        Some((first, rest)) => at(fields.get(first)?.as_object()?, rest),
    }
}

/// Returns the text at a path.
pub(super) fn text_at<'a>(fields: &'a Fields, path: &str) -> Option<&'a str> {
    at(fields, path)?.as_str()
}

/// Removes the value at a path, and the objects around it that become empty.
pub(super) fn take(fields: &mut Fields, path: &str) -> Option<Value> {
    let Some((first, rest)) = path.split_once('.') else { return fields.remove(path) };
    let inner = fields.get_mut(first)?.as_object_mut()?;
    let found = take(inner, rest);
    if inner.is_empty() {
        fields.remove(first);
    }
    found
}

/// Sets the value at a path, in objects that exist or are created.
pub(super) fn put(fields: &mut Fields, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        fields.insert(path.to_owned(), value);
        return;
    };
    let inner = fields.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

/// Returns a number as text; everything else as it is.
pub(super) fn number_as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => number.to_string().into(),
        other => other,
    }
}
