//! The description of the API is what the running server does.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use serde_json::Value;
use taskscope_tests::service::Service;

/// Paths, with the query that makes them end and answer with success.
const SAMPLES: &[(&str, &str)] =
    &[("/v1/events", "?since=1h&limit=1"), ("/v1/tree", "?threads=true&kernel=true&now=true&usage=true")];

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")),
        None => schema,
    }
}

/// Collects what is wrong with a value according to a schema; a field that the schema does not have is wrong.
fn complaints(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let wrong = alternatives.iter().map(|schema| {
            let mut found = Vec::new();
            complaints(document, schema, value, at, &mut found);
            found
        });
        found.extend(wrong.min_by_key(Vec::len).unwrap_or_default());
        return;
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        found.push(format!("{at}: {value} is no {kind}"));
        return;
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(required).is_none() {
            found.push(format!("{at}.{required} is missing"));
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let described = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
        match described {
            Some(described) => complaints(document, described, inner, &format!("{at}.{key}"), found),
            None if schema["properties"].is_object() => found.push(format!("{at}.{key} is not described")),
            None => {}
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        complaints(document, &schema["items"], inner, &format!("{at}[{index}]"), found);
    }
}

#[test]
fn every_path_answers_as_described() {
    let service = Service::start(&[]);
    // The answers then have something to report.
    scenario("burst", &["5"]).finish();
    let document = service.json("/openapi.json");
    let me = std::process::id();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let sample = SAMPLES.iter().find(|(sample, _)| sample == path).map_or("", |(_, more)| more);
        let url = format!("{}{sample}", path.replace("{pid}", &me.to_string()).replace("{name}", "main.js"));
        let answer = service.get_local(&url);
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        let described = &item["get"]["responses"]["200"]["content"];
        let kind =
            answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let schema = &described[kind]["schema"];
        assert!(schema.is_object(), "{url} answers with {kind}, described is {described}");
        if kind == "application/json" {
            let body = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{url}: {error}"));
            let mut found = Vec::new();
            complaints(&document, schema, &body, path, &mut found);
            assert!(found.is_empty(), "{url}: {found:#?}");
        }
        let wrong = service.ask(&format!("DELETE {url} HTTP/1.0\r\n\r\n"));
        assert!(wrong.status == 405 || wrong.status == 404, "{url}: {wrong:?}");
    }
    let past = service.json("/v1/zombies?at=1ms");
    let mut found = Vec::new();
    complaints(&document, &document["components"]["schemas"]["PastZombies"], &past, "past", &mut found);
    assert!(found.is_empty(), "{found:#?}");
    let refused = service.get_local("/v1/events?limit=x");
    let error = serde_json::from_str(&refused.body).unwrap_or_else(|error| panic!("{error}: {refused:?}"));
    let mut found = Vec::new();
    complaints(&document, &document["components"]["schemas"]["Error"], &error, "error", &mut found);
    assert!(found.is_empty(), "{found:#?}");
    service.stop_clean();
}
