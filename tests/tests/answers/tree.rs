//! `taskscope tree` equals the kernel's tree, and a daemon shows ended processes.

#[path = "../common/mod.rs"]
mod common;

use std::process::{Command, Output};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{proc, scenario::Scenario, service::Service, setting, skipped::attempts, wait};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(setting::taskscope());
    command.args(args).env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"))
}

#[track_caller]
fn text(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let output = run(args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

fn paused(name: &str, at: &str) -> Scenario {
    let mut scenario = scenario(name, &[]);
    scenario.pause(at);
    scenario
}

fn node(tree: &Value, pid: i64) -> Value {
    let nodes = tree["processes"].as_array().unwrap_or_else(|| panic!("{tree}"));
    nodes.iter().find(|node| node["pid"] == pid).cloned().unwrap_or_else(|| panic!("no {pid} in {tree:#}"))
}

#[test]
fn zombies_stand_below_the_parent_that_owes_them() {
    let mut scenario = paused("never-waits", "owed");
    let facts = scenario.facts();
    let (parent, child) = (facts.role("parent").pid, facts.role("child").pid);
    let tree = json(&["tree", "--alone", "--format", "json", &parent.to_string()]);
    assert_eq!(node(&tree, parent)["zombies"], 3, "{tree:#}");
    let zombie = node(&tree, child);
    assert_eq!((&zombie["state"], &zombie["depth"]), (&"zombie".into(), &1.into()), "{zombie}");
    let drawn = text(&["tree", "--alone", &parent.to_string()]);
    let mut lines = drawn.lines();
    let head = format!("scenario({parent})  has not waited for 3 zombies");
    assert_eq!(lines.next(), Some(head.as_str()), "{drawn}");
    let last = lines.next_back().unwrap_or_default();
    assert!(last.starts_with(&format!("└─scenario({child})  zombie ")), "{drawn}");
    scenario.go();
    scenario.finish();
}

#[test]
fn every_process_of_proc_is_in_the_tree_below_its_parent() {
    let mut scenario = paused("pid-namespace", "inside");
    let tree = json(&["tree", "--alone", "--format", "json"]);
    for role in ["scenario", "init", "orphan"] {
        let pid = scenario.facts().role(role).pid;
        let parent = proc::stat(pid).unwrap_or_default().swap_remove(1);
        assert_eq!(node(&tree, pid)["parent_pid"].to_string(), parent, "{role}");
    }
    let init = node(&tree, scenario.facts().role("init").pid);
    assert_eq!(init["vpid"], 1, "{init}");
    assert_eq!(init["new_pid_ns"]["level"], 1, "{init}");
    let orphan = node(&tree, scenario.facts().role("orphan").pid);
    assert_eq!(orphan["new_pid_ns"], Value::Null, "its new parent has the same pid namespace: {orphan}");
    let kernel = |tree: &Value| node_kinds(tree).contains(&"kernel_thread".to_owned());
    assert!(!kernel(&tree), "kernel threads are shown without the option");
    assert!(kernel(&json(&["tree", "--alone", "--kernel", "--format", "json"])));
    scenario.go();
    scenario.finish();
}

fn node_kinds(tree: &Value) -> Vec<String> {
    let nodes = tree["processes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| Some(node["kind"].as_str()?.to_owned())).collect()
}

#[test]
fn a_dead_leader_is_marked_and_its_threads_are_shown() {
    let mut scenario = paused("leader-exits-first", "dead-leader");
    let group = scenario.facts().role("group").pid.to_string();
    let worker = scenario.facts().role("worker").tid;
    let drawn = text(&["tree", "--alone", "--threads", &group]);
    assert_eq!(
        drawn,
        format!("scenario({group})  dead leader, 1 thread lives\n└─{{scenario}}({worker})\n"),
        "as of pid {group}"
    );
    scenario.go();
    scenario.finish();
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let output = Command::new(setting::taskscope()).args(["tree", "--alone"]).env("COLUMNS", "30").output();
    let output = output.unwrap_or_else(|error| panic!("{error}"));
    let drawn = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(drawn.lines().count() > 1, "{drawn}");
    assert!(drawn.lines().all(|line| line.chars().count() <= 30), "{drawn}");
}

#[test]
fn the_past_needs_a_daemon() {
    let output = run(&["tree", "--alone", "--at", "10m"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("taskscope run"), "{stderr}");
}

#[test]
fn a_daemon_shows_ended_processes_in_the_tree_of_that_time() {
    attempts(|| {
        let service = Service::start(&[]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("zombie", "zombie");
        let child = scenario.facts().role("child").pid.to_string();
        let parent = scenario.facts().role("scenario").pid;
        // On the tracepoint rung the daemon gets the record at the last switch, after the parent has waited.
        let alive = until_state("zombie", &["explain", "--socket", &socket, "--format", "json", &child]);
        // A time at which it was a zombie, from the clock of the daemon's answers.
        let then = service.json("/v1/zombies")["@timestamp"].as_str().unwrap_or_default().to_owned();
        let id = alive["process"]["entity_id"].as_str().unwrap_or_default().to_owned();
        scenario.go();
        scenario.finish();
        // The daemon keeps the name of the first parent after that parent has ended.
        until_state("released", &["explain", "--socket", &socket, "--format", "json", &parent.to_string()]);
        for selector in [&child, &id] {
            let dead =
                until_state("released", &["explain", "--socket", &socket, "--format", "json", selector]);
            assert_eq!(dead["process"]["entity_id"], id.as_str(), "{dead:#}");
            assert_eq!(dead["verdict"]["code"], "reaped", "{dead:#}");
            assert_eq!(dead["verdict"]["certainty"], "certain", "{dead:#}");
            assert_eq!(dead["process"]["exit"]["code"], 4, "{dead:#}");
            let story: Vec<&str> = dead["story"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|step| step["text"].as_str())
                .collect();
            assert!(
                story.first().is_some_and(|first| first.contains(&format!("(pid {parent})"))),
                "{story:?}"
            );
            assert!(story.last().is_some_and(|last| last.contains("reaped by")), "{story:?}");
        }
        let at = &["tree", "--socket", &socket, "--format", "json", "--at", &then];
        let tree = json(at);
        let was = node(&tree, child.parse().unwrap_or_default());
        assert_eq!(was["parent_pid"], parent, "{was}");
        let task = service.json(&format!("/v1/tasks/{child}"))["task"].clone();
        assert_eq!(task["end"], "reaped", "{task:#}");
        // The tracepoint rung does not report when a zombie ends, so its beginning is not known either.
        if task["zombie_at_least_ns"] == task["zombie_at_most_ns"] {
            assert_eq!(was["state"], "zombie", "{was}");
        }
        assert_eq!(service.get_local("/v1/tasks/4194303").status, 404);
        assert_eq!(service.get_local("/v1/explain/nobody").status, 400);
        let too_old = run(&["tree", "--socket", &socket, "--at", "10h"]);
        assert!(String::from_utf8_lossy(&too_old.stderr).contains("this one started later"), "{too_old:?}");
        service.stop_clean();
    });
}

/// Asks until the task has a state, and returns that answer. The release can come shortly after the wait, on the tracepoint rung an
/// RCU grace period later.
#[track_caller]
fn until_state(state: &str, args: &[&str]) -> Value {
    wait::until_answer(|| json(args), |answer| answer["task"]["state"] == state)
}

#[test]
fn a_client_with_cap_sys_ptrace_makes_the_daemons_verdict_certain() {
    attempts(|| {
        let service = Service::start(&[]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("wait-nothread", "owed");
        let child = scenario.facts().role("child").pid.to_string();
        let explained = wait::until_answer(
            || json(&["explain", "--socket", &socket, "--format", "json", &child]),
            |explained| explained["verdict"]["code"] == "wait_nothread",
        );
        // The history of the process comes from the daemon.
        assert_eq!(explained["task"]["provenance"], "observed", "{explained:#}");
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}
