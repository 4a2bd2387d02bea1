//! Real lines against the JSON Schemas that taskscope prints, by a validator of another project.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{schema, service::Service, setting::report};

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
    let lines = service.get_local(&format!("/v1/events?since=1h&limit={EVENTS}")).body;
    let actions = schema::check(python, STRICT, &path, &lines);
    for action in ["forked", "exited", "group_exited", "zombie_began", "reaped", "released"] {
        assert!(actions.split_whitespace().any(|seen| seen == action), "no {action} among {actions}");
    }
    report("schema_events_checked", lines.lines().count());
    service.stop_clean();
}
