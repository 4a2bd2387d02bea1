//! The Elastic Common Schema (ECS).
//!
//! A value for which ECS has a field moves there. All others stay below one object, `taskscope`, at their own paths: ECS asks for a
//! name of one's own for such fields, so that they never conflict with a field that it gets later.

use serde_json::{Value, json};

use super::{
    CGROUP_ID, GAP, HEARTBEAT, LIFE, action, ended,
    fields::{Fields, at, number_as_text, put, take, text_at},
};

/// The version of ECS.
pub const VERSION: &str = "9.4.0";

/// The object with the fields that ECS does not have.
pub const OWN: &str = "taskscope";

/// Fields of events and lives, and the fields of ECS that get their values.
pub const FIELDS: [(&str, &str); 28] = [
    ("@timestamp", "@timestamp"),
    ("event.sequence", "event.sequence"),
    ("host.id", "host.id"),
    ("host.name", "host.name"),
    ("host.boot_id", "host.boot.id"),
    ("process.pid", "process.pid"),
    ("process.vpid", "process.vpid"),
    ("process.entity_id", "process.entity_id"),
    ("process.start_timestamp", "process.start"),
    ("start_timestamp", "process.start"),
    ("process.parent_pid", "process.parent.pid"),
    ("process.parent_entity_id", "process.parent.entity_id"),
    ("task.parent_name", "process.parent.name"),
    ("parent_name", "process.parent.name"),
    ("process.name", "process.name"),
    ("process.executable.path", "process.executable"),
    ("process.command_args", "process.args"),
    ("process.user.id", "user.id"),
    ("process.real_user.id", "process.real_user.id"),
    ("process.exit.code", "process.exit_code"),
    ("thread.id", "process.thread.id"),
    ("thread.name", "process.thread.name"),
    ("container.id", "container.id"),
    ("container.runtime", "container.runtime"),
    ("container.name", "container.name"),
    ("pod.uid", "orchestrator.resource.id"),
    ("pod.name", "orchestrator.resource.name"),
    ("pod.namespace", "orchestrator.namespace"),
];

/// Fields whose numbers are written as text: the first two are keywords, and the last one can be larger than a long.
pub const TEXTS: [&str; 3] = ["process.user.id", "process.real_user.id", CGROUP_ID];

/// Fields of ECS that are made from others or are the same in each line, and their values.
pub const ADDED: [(&str, &str); 18] = [
    ("ecs.version", "`9.4.0`"),
    ("event.module", "`taskscope`"),
    ("event.dataset", "`taskscope.events` or `taskscope.lives`"),
    ("event.kind", "see below"),
    ("event.category", "`process`; not in lines without a process"),
    ("event.type", "see below"),
    ("event.action", "the action; of a life `life`"),
    (
        "event.outcome",
        "`forked`, `execed`: `success`; `clone_failed`: `failure`; `group_exited` and lives: `success` after exit code 0, `unknown` \
         without a status, else `failure`",
    ),
    ("event.start", "of a life: its `process.start`"),
    ("event.end", "of a life: its `process.end`"),
    ("event.duration", "of a life: from its creation to its last task's death, ns"),
    ("process.end", "when the last task died: of `group_exited` and lives"),
    ("process.args_count", "the number of `process.args`"),
    ("process.command_line", "`process.args`, joined by spaces"),
    ("host.hostname", "the same as `host.name`"),
    ("host.os.type", "`linux`"),
    ("orchestrator.type", "`kubernetes`, in a pod"),
    ("orchestrator.resource.type", "`pod`, in a pod"),
];

/// `event.kind` and `event.type` of each action.
pub const ACTIONS: [(&str, &str, &str); 28] = [
    ("forked", "event", "start"),
    ("clone_failed", "event", "info"),
    ("execed", "event", "start"),
    ("exec_takeover", "event", "change"),
    ("renamed", "event", "change"),
    ("reparented", "event", "change"),
    ("blocked_flagged", "alert", "info"),
    ("blocked_cleared", "event", "info"),
    ("leak_flagged", "alert", "info"),
    ("leak_cleared", "event", "info"),
    ("exiting", "event", "info"),
    ("exit_stuck", "alert", "info"),
    ("exited", "event", "info"),
    ("leader_died", "event", "info"),
    ("group_exited", "event", "end"),
    ("zombie_began", "event", "info"),
    ("zombie_flagged", "alert", "info"),
    ("reaped", "event", "info"),
    ("autoreaped", "event", "info"),
    ("released", "event", "info"),
    ("scope_began", "event", "info"),
    ("scope_ended", "event", "info"),
    ("switched_out", "event", "info"),
    ("woken", "event", "info"),
    ("switched_in", "event", "info"),
    (LIFE, "event", "end"),
    (GAP, "pipeline_error", "info"),
    (HEARTBEAT, "state", "info"),
];

/// Returns a native line by ECS.
pub(super) fn convert(mut line: Fields) -> Fields {
    let action = action(&line).to_owned();
    let mut out = Fields::new();
    add_event(&mut out, &line, &action);
    add_end(&mut out, &line, &action);
    for path in TEXTS {
        if let Some(number) = take(&mut line, path) {
            put(&mut line, path, number_as_text(number));
        }
    }
    for (ours, theirs) in FIELDS {
        if let Some(value) = take(&mut line, ours) {
            put(&mut out, theirs, value);
        }
    }
    add_copies(&mut out);
    take(&mut line, "event.action");
    if !line.is_empty() {
        put(&mut out, OWN, Value::Object(line));
    }
    out
}

fn add_event(out: &mut Fields, line: &Fields, action: &str) {
    let known = ACTIONS.iter().find(|(name, ..)| *name == action);
    let (kind, change) = known.map_or(("event", "info"), |(_, kind, change)| (*kind, *change));
    let is_thread = at(line, "thread.id").is_some_and(|tid| Some(tid) != at(line, "process.pid"));
    // A thread that begins starts no process.
    let change = if is_thread && action == "forked" { "info" } else { change };
    let dataset = if action == LIFE { "taskscope.lives" } else { "taskscope.events" };
    put(out, "ecs", json!({ "version": VERSION }));
    put(
        out,
        "event",
        json!({
            "module": "taskscope", "dataset": dataset, "kind": kind, "type": [change], "action": action,
        }),
    );
    if line.contains_key("process") {
        put(out, "event.category", json!(["process"]));
    }
    let outcome = match action {
        "forked" | "execed" => Some("success"),
        "clone_failed" => Some("failure"),
        "group_exited" | LIFE => Some(match at(line, "process.exit") {
            None => "unknown",
            Some(exit) if exit.get("code").and_then(Value::as_i64) == Some(0) => "success",
            Some(_) => "failure",
        }),
        _ => None,
    };
    if let Some(outcome) = outcome {
        put(out, "event.outcome", outcome.into());
    }
}

/// Adds when the process ended.
fn add_end(out: &mut Fields, line: &Fields, action: &str) {
    if action == "group_exited"
        && let Some(at) = line.get("@timestamp")
    {
        put(out, "process.end", at.clone());
    }
    if action != LIFE {
        return;
    }
    if let Some(ended) = ended(line) {
        put(out, "process.end", ended.clone().into());
        put(out, "event.end", ended.into());
    }
    if let Some(start) = line.get("start_timestamp") {
        put(out, "event.start", start.clone());
    }
    let number = |name| line.get(name).and_then(Value::as_i64);
    if let (Some(start), Some(end)) = (number("start_boottime_ns"), number("ended_boottime_ns")) {
        put(out, "event.duration", end.saturating_sub(start).into());
    }
}

/// Adds fields that repeat others.
fn add_copies(out: &mut Fields) {
    if let Some(name) = at(out, "host.name").cloned() {
        put(out, "host.hostname", name);
    }
    if out.contains_key("host") {
        put(out, "host.os.type", "linux".into());
    }
    if let Some(args) = at(out, "process.args").and_then(Value::as_array) {
        let texts: Vec<_> = args.iter().filter_map(Value::as_str).collect();
        let (count, line) = (args.len(), texts.join(" "));
        put(out, "process.args_count", count.into());
        put(out, "process.command_line", line.into());
    }
    if text_at(out, "orchestrator.resource.id").is_some() {
        put(out, "orchestrator.type", "kubernetes".into());
        put(out, "orchestrator.resource.type", "pod".into());
    }
}
