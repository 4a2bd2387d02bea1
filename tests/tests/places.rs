//! Where tasks live: cgroups made here, named as systemd and container runtimes name theirs.

use std::process::{Command, Stdio};

use taskscope_tests::{cgroup::Cgroup, service::Service, setting};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A short scenario that begins in a cgroup.
fn run_in(cgroup: &Cgroup) -> Command {
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(["burst", "1"]).stdout(Stdio::null());
    cgroup.begin(&mut command);
    command
}

#[test]
fn events_say_unit_container_and_pod_and_can_be_chosen_by_them() {
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
