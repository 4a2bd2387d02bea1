//! Checks real lines against the JSON Schemas that taskscope prints, by a validator of another project, and against the published
//! fields of ECS and OpenTelemetry.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../daemon/tests/published/mod.rs"]
mod published;

use std::process::Command;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    schema,
    service::Service,
    setting::{self, report},
};

/// Checks lines by a schema that allows no field that it does not have; names that are not UTF-8 have their bytes beside them.
const STRICT: &str = "\
import json, sys, jsonschema_rs
def strict(schema):
    if isinstance(schema, dict):
        if 'properties' in schema:
            schema['additionalProperties'] = False
            schema['patternProperties'] = {'_bytes$': {}}
        for inner in schema.values():
            strict(inner)
    elif isinstance(schema, list):
        for inner in schema:
            strict(inner)
schema = json.load(open(sys.argv[1]))
strict(schema)
check = jsonschema_rs.validator_for(schema)
actions = set()
for line in sys.stdin:
    event = json.loads(line)
    check.validate(event)
    actions.add(event['event']['action'])
wrong = [{'event': {'action': 'no_such_action'}}, {'event': {'action': 'forked'}, 'process': {'pid': -1}},
         {'event': {'action': 'forked'}, 'surplus': 1}, {}]
assert not any(check.is_valid(event) for event in wrong)
print(' '.join(sorted(actions)))";

/// Events that the test asks for; the scenarios make more.
const EVENTS: usize = 600;

#[test]
fn every_event_is_as_its_schema_says() {
    let Some(python) = schema::validator() else { return };
    let service = Service::start(&["--zombie-after", "100ms"]);
    scenario("death-killed", &[]).finish();
    scenario("usage", &["100"]).until(&["pause", "skip"]);
    let path = service.directory().join("schema.json");
    schema::print("events", &path);
    let events = |query: &str| service.get_local(&format!("/v1/events?since=1h&{query}")).body;
    // A tracepoint reports a release after an RCU grace period: on a busy host, after all these events.
    let lines = events(&format!("limit={EVENTS}")) + &events("action=released&limit=1");
    let actions = schema::check(python, STRICT, &path, &lines);
    for action in ["forked", "exited", "group_exited", "zombie_began", "reaped", "released"] {
        assert!(actions.split_whitespace().any(|seen| seen == action), "no {action} among {actions}");
    }
    report("schema_events_checked", lines.lines().count());
    service.stop_clean();
}

fn documents(lines: &str) -> impl Iterator<Item = Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(parse)
}

/// What a command prints.
#[track_caller]
fn printed(service: &Service, args: &[&str]) -> String {
    let mut command = Command::new(setting::taskscope());
    let output = command.args(args).arg("--socket").arg(service.socket()).output();
    let output = output.unwrap_or_else(|error| panic!("starting taskscope: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn events_and_lives_are_what_the_schemas_of_others_say() {
    let service = Service::start(&["--zombie-after", "100ms"]);
    scenario("death-killed", &[]).finish();
    scenario("usage", &["100"]).until(&["pause", "skip"]);
    let mut ecs = published::Ecs::default();
    let limit = EVENTS.to_string();
    for document in
        documents(&printed(&service, &["events", "--schema", "ecs", "--since", "1h", "--limit", &limit]))
    {
        ecs.check(&document);
        assert!(document.pointer("/host/name").is_some(), "{document}");
    }
    for field in [
        "process.parent.pid",
        "process.executable",
        "user.id",
        "process.start",
        "host.boot.id",
        "event.outcome",
    ] {
        assert!(ecs.seen.contains(field), "no document has {field}");
    }
    let flat = printed(&service, &["events", "--schema", "otel", "--since", "1h", "--limit", &limit]);
    documents(&flat).for_each(|document| published::check_otel(&document));
    assert!(flat.contains("\"process.exit.code\":"), "{flat}");
    // Lives are a data set of their own.
    let mut of_lives = published::Ecs::default();
    let lives = printed(&service, &["lives", "--schema", "ecs"]);
    documents(&lives).for_each(|document| of_lives.check(&document));
    for field in ["process.end", "event.duration", "event.outcome", "host.id"] {
        let is_known = of_lives.seen.contains(field)
            || field == "host.id" && !std::path::Path::new("/etc/machine-id").exists();
        assert!(is_known, "no life has {field}");
    }
    let lives = printed(&service, &["lives", "--schema", "otel"]);
    documents(&lives).for_each(|document| published::check_otel(&document));
    assert!(lives.contains("\"event.name\":\"taskscope.life\""), "{lives}");
    report("schema_ecs_fields", ecs.seen.len());
    // The error for a wrong value lists the valid values.
    for (path, what) in [
        ("/v1/events?schema=cim", "there are: native, ecs, otel"),
        ("/v1/lives?schema=", "there are: native, ecs, otel"),
    ] {
        let answer = service.get_local(path);
        assert!(answer.status == 400 && answer.body.contains(what), "{path}: {}", answer.body);
    }
    service.stop_clean();
}
