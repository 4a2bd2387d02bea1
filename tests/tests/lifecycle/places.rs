//! Places of tasks: cgroups made by the test, named as systemd and container runtimes name theirs.

#[path = "../common/mod.rs"]
mod common;

use std::process::{Command, Stdio};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{cgroup::Cgroup, service::Service, setting, wait};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Returns the command of a short scenario that begins in a cgroup.
fn run_in(cgroup: &Cgroup) -> Command {
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(["burst", "1"]).stdout(Stdio::null());
    cgroup.begin(&mut command);
    command
}

#[test]
fn events_have_unit_container_and_pod_and_can_be_filtered_by_them() {
    let slice = format!("taskscope{}.slice", std::process::id());
    let unit = format!("demo{}.service", std::process::id());
    let container = format!("docker-{ID}.scope");
    let pod = "pod11111111-2222-3333-4444-555555555555";
    let Some(cgroup) = Cgroup::make(&[&slice, &unit, pod, &container]) else { return };
    let service = Service::start(&[]);
    let by_container = service.events("?container=0123456789ab&action=group_exited&limit=1", "");
    let by_unit = service.events("?unit=docker-*&action=execed&limit=1", "");
    let other = service.events("?unit=nothing*&since=1h&limit=1", "");
    let status = run_in(&cgroup).status().unwrap_or_else(|error| panic!("the scenario: {error}"));
    assert!(status.success(), "{status}");
    for mut lines in [by_container, by_unit] {
        let event = lines.next_json();
        assert_eq!(event["container"]["id"], ID, "{event}");
        assert_eq!(event["container"]["runtime"], "docker", "{event}");
        assert_eq!(event["pod"]["uid"], "11111111-2222-3333-4444-555555555555", "{event}");
        assert_eq!(event["cgroup"]["unit"], container.as_str(), "{event}");
        let path = format!("/{slice}/{unit}/{pod}/{container}");
        assert_eq!(event["cgroup"]["path"], path.as_str(), "{event}");
    }
    drop(other);
    service.stop_clean();
}

/// Asks the daemon about a process until the answer meets a condition, and returns that answer.
#[track_caller]
fn until(service: &Service, pid: i64, come: impl Fn(&Value) -> bool) -> Value {
    wait::until_answer(|| service.json(&format!("/v1/explain/{pid}")), come)
}

#[test]
fn a_process_that_is_moved_after_its_exec_is_in_its_new_unit_at_once() {
    let unit = format!("moved{}.service", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&format!("moved{}.slice", std::process::id()), &unit]) else { return };
    // Audits are off, so that only the record of the move can report it.
    let service = Service::start(&["--audit-every", "0s"]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let before = service.json(&format!("/v1/explain/{parent}"));
    assert_ne!(before["cgroup"]["unit"], unit.as_str(), "{before:#}");
    cgroup.take(parent);
    let moved = until(&service, parent, |it| it["cgroup"]["unit"] == unit.as_str());
    let path = cgroup.path().parent().and_then(|slice| slice.file_name()).map(|name| name.to_string_lossy());
    assert_eq!(moved["cgroup"]["path"], format!("/{}/{unit}", path.unwrap_or_default()), "{moved:#}");
    let status = service.json("/v1/status");
    assert!(status["hooks"]["cgroup_attach_task"].is_string(), "{status:#}");
    let mut ended = service.events(&format!("?pid={parent}&action=group_exited&limit=1"), "");
    scenario.go();
    let event = ended.next_json();
    assert_eq!(event["cgroup"]["unit"], unit.as_str(), "{event}");
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_container_of_a_v1_controller_is_known_by_its_path_there() {
    let id = format!("{:064x}", std::process::id());
    let Some(cgroup) = Cgroup::v1("pids", &["docker", &id]) else { return };
    let service = Service::start(&["--audit-every", "0s"]);
    let mut by_container =
        service.events(&format!("?container={}&action=group_exited&limit=1", &id[..12]), "");
    let mut moved = scenario("never-waits", &[]);
    moved.pause("owed");
    let parent = moved.facts().role("parent").pid;
    cgroup.take(parent);
    let of_container = |it: &Value| it["container"]["id"] == id.as_str();
    let explained = until(&service, parent, of_container);
    assert_eq!(explained["container"]["runtime"], "docker", "{explained:#}");
    assert_eq!(explained["cgroup"]["controller_path"], format!("/docker/{id}"), "{explained:#}");
    let zombies = service.json("/v1/zombies");
    let parents = zombies["parents"].as_array().into_iter().flatten();
    let owing = parents.into_iter().find(|it| it["process"]["pid"] == parent);
    assert!(owing.is_some_and(of_container), "{zombies:#}");
    // The cgroup of a process that begins there is known from the fork, also to a command without a daemon.
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(["burst", "1"]).stdout(Stdio::null());
    cgroup.begin(&mut command);
    let status = command.status().unwrap_or_else(|error| panic!("the scenario: {error}"));
    assert!(status.success(), "{status}");
    let event = by_container.next_json();
    assert_eq!(event["container"]["id"], id.as_str(), "{event}");
    let alone = Command::new(setting::taskscope())
        .args(["explain", "--alone", "--format", "json", &parent.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("explain: {error}"));
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap_or_default();
    assert_eq!(alone["container"]["id"], id.as_str(), "{alone:#}");
    moved.go();
    moved.finish();
    service.stop_clean();
}
