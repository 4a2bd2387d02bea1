//! Checks events and lives in ECS and OpenTelemetry against the published definitions of their fields: every kind of line, with
//! every field that the JSON Schema of native lines has.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod published;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use taskscope::{
    answer::life,
    export::{event_schema, schema::Schema},
};

/// A value that a schema describes, with all its fields.
fn sample(name: &str, schema: &Value, root: &Value) -> Value {
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        return sample(name, root.pointer(path.trim_start_matches('#')).unwrap(), root);
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return sample(name, &any[0], root);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap(),
        kind => kind.as_str().unwrap_or_else(|| panic!("{name}: {schema}")),
    };
    match kind {
        "object" => {
            let fields = schema["properties"].as_object().unwrap();
            let all = fields.iter().map(|(name, inner)| (name.clone(), sample(name, inner, root)));
            let mut object: Map<_, _> = all.collect();
            // Names that are not UTF-8.
            if name == "process" || name == "executable" {
                object.extend(["name_bytes", "path_bytes"].map(|name| (name.to_owned(), "ff".into())));
            }
            if let Some(args) = object.get("command_args").cloned() {
                object.insert("command_args_bytes".into(), json!([null, "ff"]));
                object.insert("command_args".into(), args);
            }
            object.into()
        }
        "array" => vec![sample(name, &schema["items"], root); 2].into(),
        "string" if name.ends_with("timestamp") => "2026-11-30T01:00:00.123456789Z".into(),
        "string" => "text".into(),
        "boolean" => true.into(),
        // The largest value of a field.
        "integer" if name == "cgroup_id" => u64::MAX.into(),
        "integer" => 7.into(),
        other => panic!("{name}: {other}"),
    }
}

fn actions(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(list) = schema.pointer("/properties/action/enum").and_then(Value::as_array) {
        found.extend(list.iter().map(|name| name.as_str().unwrap().to_owned()));
    }
    for inner in schema.as_object().into_iter().flat_map(Map::values) {
        found.extend(actions(inner));
    }
    found
}

fn convert(schema: Schema, line: &Value) -> Value {
    let mut out = Vec::new();
    schema.convert(format!("{line}\n").as_bytes(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// A line of each action: with all fields, and with as few as possible.
fn lines() -> Vec<Value> {
    let schema = event_schema().to_value();
    let whole = sample("", &schema, &schema);
    let mut lines = Vec::new();
    for action in actions(&schema) {
        let mut line = whole.clone();
        line["event"]["action"] = action.clone().into();
        lines.push(line.clone());
        // A process that exited by itself, and one whose status is not known.
        line["process"]["exit"] = json!({"status": 0, "code": 0});
        lines.push(line.clone());
        line["process"].as_object_mut().unwrap().remove("exit");
        lines.push(line);
        lines.push(if ["gap", "heartbeat"].contains(&&*action) {
            json!({"event": {"action": action, "sequence": 7}})
        } else {
            json!({
                "@timestamp": "2026-11-30T01:00:00.123456789Z", "event": {"action": action}, "process": {"pid": 7},
                "thread": {"id": 8}, "task": {"kind": "thread", "provenance": "observed"},
            })
        });
    }
    assert!(lines.len() > 4 * 20, "{} lines", lines.len());
    lines
}

fn whole_life() -> Value {
    let schema = life::schema().to_value();
    let mut life = sample("", &schema, &schema);
    // The parts of a place stand beside the other fields.
    life["life_version"] = 1.into();
    life
}

#[test]
fn events_and_lives_are_documents_of_ecs() {
    let mut ecs = published::Ecs::default();
    for line in lines() {
        ecs.check(&convert(Schema::Ecs, &line));
    }
    // Lives are documents of another data set, and have types of their own.
    let mut of_lives = published::Ecs::default();
    let life = whole_life();
    of_lives.check(&convert(Schema::Ecs, &life));
    of_lives.check(&convert(Schema::Ecs, &json!({
        "@timestamp": "2026-11-30T01:00:00.123Z", "life_version": 1, "process": {"pid": 7}, "boottime_ns": 7,
    })));
    ecs.seen.extend(of_lives.seen);
    assert_all_are_written(published::ECS, &ecs.seen);
}

/// Fails if a published file has a field that is never written.
fn assert_all_are_written(published: &str, written: &BTreeSet<String>) {
    let rows = published.lines().filter(|line| !line.starts_with('#'));
    let names = rows.map(|line| line.split(',').next().unwrap());
    let never: Vec<_> =
        names.filter(|name| !["allowed", "expected"].contains(name) && !written.contains(*name)).collect();
    assert!(never.is_empty(), "never written: {never:?}");
}

#[test]
fn events_and_lives_have_attributes_of_the_semantic_conventions() {
    // Attributes of the resource of the output `otlp`.
    let resource = [
        "host.arch",
        "os.type",
        "os.version",
        "os.description",
        "service.name",
        "service.version",
        "service.instance.id",
    ];
    let mut seen: BTreeSet<_> = resource.map(str::to_owned).into();
    for line in lines().iter().chain([&whole_life()]) {
        let flat = convert(Schema::Otel, line);
        published::check_otel(&flat);
        seen.extend(flat.as_object().unwrap().keys().cloned());
    }
    assert_all_are_written(published::OTEL, &seen);
}

/// Every value of a native line is in the converted line too.
#[test]
fn no_value_is_lost() {
    fn values(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => fields.values().for_each(|inner| values(inner, found)),
            Value::Number(number) => found.push(number.to_string().into()),
            other => found.push(other.clone()),
        }
    }
    // Make each value unique, so that it can be found again.
    fn number(value: &mut Value, next: &mut u64) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|inner| number(inner, next)),
            Value::Number(_) => {
                *next += 1;
                *value = (*next).into();
            }
            Value::String(text) if text == "text" => {
                *next += 1;
                *text = format!("text {next}");
            }
            _ => {}
        }
    }
    let schema = event_schema().to_value();
    let (mut event, mut life, mut next) = (sample("", &schema, &schema), whole_life(), 1_000);
    number(&mut event, &mut next);
    number(&mut life, &mut next);
    event["event"]["action"] = "execed".into();
    life["life_version"] = 1.into();
    for line in [event, life] {
        let mut native = Vec::new();
        values(&line, &mut native);
        for schema in [Schema::Ecs, Schema::Otel] {
            let mut converted = Vec::new();
            values(&convert(schema, &line), &mut converted);
            let missing: Vec<_> = native
                .iter()
                .filter(|value| {
                    // The action is a part of the event's name.
                    !converted.contains(value) && **value != "execed"
                })
                .collect();
            assert!(missing.is_empty(), "{}: {missing:?}", schema.name());
        }
    }
}
