//! docs/events.md has the tables of both schemas as the code has them.

use std::fmt::Write as _;

use super::*;
use crate::{export::SCHED_ACTIONS, lineage::ActionKind};

fn convert(schema: Schema, line: &Value) -> Value {
    let mut out = Vec::new();
    schema.convert(format!("{line}\n").as_bytes(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn every_action_has_a_kind_and_a_type() {
    let known = ecs::ACTIONS.map(|(action, ..)| action);
    let all = ActionKind::ALL.map(ActionKind::name).into_iter().chain(SCHED_ACTIONS);
    let all: Vec<_> = all.chain([LIFE, GAP, HEARTBEAT]).collect();
    assert!(all.iter().all(|action| known.contains(action)), "{all:?}");
    assert_eq!(all.len(), known.len());
}

/// Two tables of a schema: fields that have values of others, and fields that are made.
fn tables(head: &str, names: &[(&str, &str)], added: &[(&str, &str)]) -> String {
    let mut text = format!("| field of taskscope | {head} |\n|---|---|\n");
    for (ours, theirs) in names {
        let _ = writeln!(text, "| `{ours}` | `{theirs}` |");
    }
    let _ = write!(text, "\n| {head} | value |\n|---|---|\n");
    for (theirs, what) in added {
        let _ = writeln!(text, "| `{theirs}` | {what} |");
    }
    text
}

#[test]
fn the_document_has_the_tables_of_the_schemas() {
    let mut actions = String::from("| action | `event.kind` | `event.type` |\n|---|---|---|\n");
    for (action, kind, change) in ecs::ACTIONS {
        let _ = writeln!(actions, "| `{action}` | `{kind}` | `{change}` |");
    }
    let document = include_str!("../../../../docs/events.md");
    for table in [
        tables("field of ECS", &ecs::FIELDS, &ecs::ADDED),
        actions,
        tables("attribute", &otel::NAMES, &otel::ADDED),
    ] {
        assert!(document.contains(&table), "docs/events.md lacks these lines:\n{table}");
    }
    for (name, version) in [("ECS", ecs::VERSION), ("semantic conventions", otel::VERSION)] {
        assert!(document.contains(&format!("{name} {version}")), "docs/events.md lacks `{name} {version}`");
    }
    assert!(ecs::ADDED.contains(&("ecs.version", "`9.4.0`")) && ecs::VERSION == "9.4.0");
}

#[test]
fn an_event_moves_to_the_fields_of_ecs_and_keeps_the_rest() {
    let line = serde_json::json!({
        "@timestamp": "2026-11-30T01:00:00.000000001Z",
        "event": {"action": "group_exited", "sequence": 9, "late_ns": 3},
        "host": {"id": "ab", "name": "web"},
        "process": {
            "pid": 7, "name": "x", "executable": {"path": "/bin/x", "deleted": true}, "user": {"id": 0},
            "exit": {"status": 9, "signal": 9}, "command_args": ["x", "a b"],
        },
        "thread": {"id": 7},
        "task": {"cgroup_id": 9_223_372_041_149_743_103_u64, "death": {"cause": "killed"}},
    });
    assert_eq!(
        convert(Schema::Ecs, &line),
        serde_json::json!({
            "@timestamp": "2026-11-30T01:00:00.000000001Z",
            "ecs": {"version": "9.4.0"},
            "event": {
                "action": "group_exited", "sequence": 9, "kind": "event", "category": ["process"], "type": ["end"],
                "outcome": "failure", "module": "taskscope", "dataset": "taskscope.events",
            },
            "host": {"id": "ab", "name": "web", "hostname": "web", "os": {"type": "linux"}},
            "process": {
                "pid": 7, "name": "x", "executable": "/bin/x", "args": ["x", "a b"], "args_count": 2,
                "command_line": "x a b", "thread": {"id": 7}, "end": "2026-11-30T01:00:00.000000001Z",
            },
            "user": {"id": "0"},
            "taskscope": {
                "event": {"late_ns": 3},
                "process": {"executable": {"deleted": true}, "exit": {"status": 9, "signal": 9}},
                "task": {"cgroup_id": "9223372041149743103", "death": {"cause": "killed"}},
            },
        })
    );
    let flat = convert(Schema::Otel, &line);
    for (name, value) in [
        ("event.name", serde_json::json!("taskscope.group_exited")),
        ("process.executable.name", serde_json::json!("x")),
        ("process.exit.time", line["@timestamp"].clone()),
        ("taskscope.task.cgroup_id", serde_json::json!("9223372041149743103")),
        ("taskscope.task.death", serde_json::json!({"cause": "killed"})),
        ("taskscope.process.exit.signal", serde_json::json!(9)),
    ] {
        assert_eq!(flat[name], value, "{name} of {flat:#}");
    }
    assert!(flat.get("@timestamp").is_none() && flat.get("timestamp").is_some());
}

#[test]
fn a_life_has_its_begin_and_its_end() {
    let line = serde_json::json!({
        "@timestamp": "2026-11-30T01:00:10.500Z", "life_version": 1, "boottime_ns": 20_500_000_000_u64,
        "start_timestamp": "2026-11-30T01:00:00.000Z", "start_boottime_ns": 10_000_000_000_u64,
        "ended_boottime_ns": 20_000_000_000_u64, "parent_name": "sh",
        "process": {"pid": 7, "parent_pid": 1, "exit": {"status": 0, "code": 0}},
    });
    let document = convert(Schema::Ecs, &line);
    assert_eq!(document["process"]["end"], "2026-11-30T01:00:10.000Z");
    assert_eq!(document["process"]["parent"], serde_json::json!({"pid": 1, "name": "sh"}));
    assert_eq!(
        document["event"],
        serde_json::json!({
            "action": "life", "kind": "event", "category": ["process"], "type": ["end"], "outcome": "success",
            "module": "taskscope", "dataset": "taskscope.lives", "start": "2026-11-30T01:00:00.000Z",
            "end": "2026-11-30T01:00:10.000Z", "duration": 10_000_000_000_u64,
        })
    );
    let flat = convert(Schema::Otel, &line);
    assert_eq!(flat["process.exit.time"], "2026-11-30T01:00:10.000Z");
    assert_eq!(flat["event.name"], "taskscope.life");
}

#[test]
fn a_thread_that_begins_starts_no_process() {
    let line = |tid| serde_json::json!({"event": {"action": "forked"}, "process": {"pid": 7}, "thread": {"id": tid}});
    assert_eq!(convert(Schema::Ecs, &line(7))["event"]["type"][0], "start");
    assert_eq!(convert(Schema::Ecs, &line(8))["event"]["type"][0], "info");
}

#[test]
fn what_is_not_json_is_not_lost() {
    let mut out = Vec::new();
    Schema::Ecs.convert(b"{\"a\":1}\nx\n", &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("{\"ecs\"") && text.ends_with("\nx\n") && text.contains("\"taskscope\":{\"a\":1}"),
        "{text}"
    );
}
