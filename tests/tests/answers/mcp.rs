//! `taskscope mcp`, asked by the protocol's own client.

#[path = "../common/mod.rs"]
mod common;

use std::{
    env,
    ffi::OsString,
    io::Write as _,
    process::{Command, Stdio},
};

use common::scenario;
use serde_json::{Value, json};
use taskscope_tests::{service::Service, setting};

/// The protocol's versions: with a handshake, and without one.
const MODES: [&str; 2] = ["legacy", "auto"];

fn client() -> Option<OsString> {
    let python = env::var_os("TASKSCOPE_MCP");
    if python.is_none() {
        setting::skip("TASKSCOPE_MCP names no python with mcp; cargo xtask test makes one");
    }
    python
}

#[track_caller]
fn asked(python: &OsString, service: &Service, mode: &str, calls: &Value) -> Value {
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mcp/client.py"));
    command.arg(setting::taskscope()).arg(service.socket()).arg(mode).arg(calls.to_string());
    let output = command.output().unwrap_or_else(|error| panic!("starting python: {error}"));
    assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_client_gets_the_answers_of_the_daemon() {
    let Some(python) = client() else { return };
    let service = Service::start(&[]);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let calls = json!([
        ["zombies", {}],
        ["explain", { "pid": parent }],
        ["tree", { "pid": parent }],
        ["limits", {}],
        ["status", {}],
        ["explain", { "pid": "4194303" }],
        ["zombies", { "min_age": "soon" }],
        ["zombies", { "age": "1s" }],
        ["kill", { "pid": parent }],
    ]);
    for mode in MODES {
        let said = asked(&python, &service, mode, &calls);
        assert_eq!(said["server"], "taskscope", "{mode}");
        for tool in said["tools"].as_object().into_iter().flatten() {
            assert_eq!(tool.1["annotations"]["read_only_hint"], true, "{mode}: {tool:?}");
        }
        let answers = said["answers"].as_array().cloned().unwrap_or_default();
        assert_eq!(answers.len(), 9, "{mode}: {said:#}");
        for answer in &answers[..5] {
            assert_eq!(answer["text"], answer["answer"], "{mode}");
            assert!(answer["answer"].is_object(), "{mode}: {answer:#}");
        }
        let parents = answers[0]["answer"]["parents"].as_array().cloned().unwrap_or_default();
        let ours = parents.iter().find(|it| it["process"]["pid"] == parent);
        assert!(ours.is_some_and(|it| it["verdict"]["code"].is_string()), "{mode}: {parents:#?}");
        let direct = service.json(&format!("/v1/explain/{parent}"));
        assert_eq!(answers[1]["answer"]["process"]["entity_id"], direct["process"]["entity_id"], "{mode}");
        let text = |at: usize, key: &str| answers[at][key].as_str().unwrap_or_default().to_owned();
        assert!(text(5, "failed").contains("4194303"), "{mode}: {:#}", answers[5]);
        assert!(text(6, "failed").contains("soon"), "{mode}: {:#}", answers[6]);
        assert!(text(7, "refused").contains("it takes min_age, unit, at"), "{mode}: {:#}", answers[7]);
        assert!(text(8, "refused").contains("there is no tool `kill`"), "{mode}: {:#}", answers[8]);
    }
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

#[test]
fn without_a_daemon_each_call_says_so() {
    let mut command = Command::new(setting::taskscope());
    command.args(["mcp", "--socket", "/nonexistent/socket"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("starting taskscope: {error}"));
    let lines = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "zombies" } }),
    ];
    let mut input = child.stdin.take().unwrap_or_else(|| panic!("no input"));
    for line in &lines {
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("writing: {error}"));
    }
    drop(input);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("waiting: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("no taskscope daemon answers on"), "{text}");
}

#[test]
fn a_session_ends_with_its_input() {
    for input in ["", "hello\n", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"] {
        let mut command = Command::new(setting::taskscope());
        command.args(["mcp", "--socket", "/nonexistent/socket"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting taskscope: {error}"));
        let mut stdin = child.stdin.take().unwrap_or_else(|| panic!("no input"));
        stdin.write_all(input.as_bytes()).unwrap_or_else(|error| panic!("writing: {error}"));
        drop(stdin);
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("waiting: {error}"));
        assert!(output.status.success(), "{input:?}: {output:?}");
    }
}
