//! Processes that are older than taskscope: what events say of them is what /proc said before.

mod common;

use std::fs;

use common::scenario;
use taskscope_tests::service::Service;

#[test]
fn an_event_of_an_older_process_has_its_program_its_start_its_parent_and_its_status() {
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let (parent, scenario_pid) = (scenario.facts().role("parent").pid, scenario.facts().role("scenario").pid);
    let program = fs::read_link(format!("/proc/{parent}/exe")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap();
    let began_at_ticks: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let service = Service::start(&[]);
    let mut lines = service.events(&format!("?pid={parent}&limit=3"), "");
    scenario.go();
    for _ in 0..3 {
        let event = lines.next_json();
        let process = &event["process"];
        assert_eq!(process["executable"]["path"], program.to_string_lossy().as_ref(), "{event}");
        assert_eq!(process["parent_pid"], scenario_pid, "{event}");
        assert_eq!(process["name"], "scenario", "{event}");
        let reported = event["task"]["start_boottime_ns"].as_u64().unwrap_or_default();
        assert_eq!(reported / 10_000_000, began_at_ticks, "{event}");
        if event["event"]["action"] == "group_exited" {
            assert_eq!(process["exit"]["signal"], libc::SIGKILL, "{event}");
        }
    }
    scenario.finish();
    service.stop_clean();
}
