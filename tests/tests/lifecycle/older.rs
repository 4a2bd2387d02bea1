//! Events of processes that are older than taskscope show what /proc showed before.

#[path = "../common/mod.rs"]
mod common;

use std::fs;

use common::scenario;
use taskscope_tests::{proc, service::Service};

#[test]
fn an_event_of_an_older_process_has_its_program_its_start_its_parent_and_its_status() {
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let (parent, scenario_pid) = (scenario.facts().role("parent").pid, scenario.facts().role("scenario").pid);
    let program = fs::read_link(format!("/proc/{parent}/exe")).unwrap();
    let began_at_ticks: u64 = proc::stat(parent).unwrap()[19].parse().unwrap();
    let service = Service::start(&[]);
    let mut lines = service.events(&format!("?pid={parent}&limit=3"), "");
    scenario.go();
    for _ in 0..3 {
        let event = lines.next_json();
        let process = &event["process"];
        assert_eq!(process["executable"]["path"], program.to_string_lossy().as_ref(), "{event}");
        assert_eq!(process["parent_pid"], scenario_pid, "{event}");
        assert_eq!(process["name"], "scenario", "{event}");
        assert!(process["command_args"].is_null(), "without --args there are none: {event}");
        let reported = event["task"]["start_boottime_ns"].as_u64().unwrap_or_default();
        assert_eq!(reported / 10_000_000, began_at_ticks, "{event}");
        if event["event"]["action"] == "group_exited" {
            assert_eq!(process["exit"]["signal"], libc::SIGKILL, "{event}");
        }
    }
    scenario.finish();
    service.stop_clean();
}

#[test]
fn the_arguments_of_an_older_process_are_reported_with_args() {
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let text = fs::read(format!("/proc/{parent}/cmdline")).unwrap();
    let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned();
    let arguments: Vec<&str> = text.split('\0').collect();
    let service = Service::start(&["--args"]);
    let mut lines = service.events(&format!("?pid={parent}&limit=3"), "");
    scenario.go();
    for _ in 0..3 {
        let event = lines.next_json();
        assert_eq!(event["process"]["command_args"], serde_json::json!(arguments), "{event}");
    }
    scenario.finish();
    service.stop_clean();
}
