//! Real lines against the JSON Schemas that taskscope prints, by a validator of another project.

#[path = "../common/mod.rs"]
mod common;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use common::scenario;
use taskscope_tests::{
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
    let Some(python) = std::env::var_os("TASKSCOPE_SCHEMATHESIS") else {
        setting::skip(
            "TASKSCOPE_SCHEMATHESIS names no python; schemathesis brings the validator jsonschema_rs",
        );
        return;
    };
    let service = Service::start(&["--zombie-after", "100ms"]);
    scenario("death-killed", &[]).finish();
    scenario("usage", &["100"]).until(&["pause", "skip"]);
    let output = Command::new(setting::taskscope()).args(["schema", "events"]).output();
    let schema = output.unwrap_or_else(|error| panic!("starting taskscope: {error}")).stdout;
    let path = service.directory().join("schema.json");
    std::fs::write(&path, schema).unwrap_or_else(|error| panic!("writing the schema: {error}"));
    let lines = service.get_local(&format!("/v1/events?since=1h&limit={EVENTS}")).body;
    let mut child = Command::new(python)
        .args(["-c", STRICT])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting python: {error}"));
    let mut stdin = child.stdin.take().unwrap_or_else(|| panic!("no standard input"));
    // What is wrong is in its words on standard error.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("waiting for python: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let actions = String::from_utf8_lossy(&output.stdout).into_owned();
    for action in ["forked", "exited", "group_exited", "zombie_began", "reaped", "released"] {
        assert!(actions.split_whitespace().any(|seen| seen == action), "no {action} among {actions}");
    }
    report("schema_events_checked", lines.lines().count());
    service.stop_clean();
}
