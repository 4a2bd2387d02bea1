//! Units that are stopped by real signals: which processes received a stop signal, which did not, which were killed. The oracle
//! is the scenario, which sends the signals and waits for the processes.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{facts::Facts, service::Service, setting, wait};

/// Runs a scenario and returns how its unit stopped; `None` if this machine does not allow it.
#[track_caller]
fn stopped(service: &Service, name: &str) -> Option<(Value, Facts)> {
    let mut acted = scenario(name, &[]);
    let first = acted.until(&["pause", "skip"]);
    if first["fact"] == "skip" {
        setting::skip(format!("{name}: {first}"));
        return None;
    }
    let unit = unit(acted.facts());
    until(service, &unit, |stop| {
        stop["outcome"] == "unfinished"
            && stop["processes"]
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it["disposition"].is_string()))
    });
    acted.go();
    let facts = acted.finish();
    let stop = until(service, &unit, |stop| stop["duration_ns"].is_u64());
    Some((stop, facts))
}

/// Waits until the stop of a unit meets a condition, and returns it.
#[track_caller]
fn until(service: &Service, unit: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait::until_ok(|| {
        let answer = service.json(&format!("/v1/stops?unit={unit}"));
        let found = answer["stops"].as_array().and_then(|stops| stops.iter().find(|stop| is(stop)));
        found.cloned().ok_or_else(|| format!("no such stop of {unit} is reported: {answer:#}"))
    })
}

#[track_caller]
fn unit(facts: &Facts) -> String {
    let name = facts.all("unit").next().and_then(|fact| fact["name"].as_str()).map(str::to_owned);
    name.unwrap_or_else(|| panic!("the scenario prints no unit"))
}

/// Returns what a stop's record contains about a role's process.
#[track_caller]
fn process<'a>(stop: &'a Value, facts: &Facts, role: &str) -> &'a Value {
    let pid = facts.role(role).pid;
    let found =
        stop["processes"].as_array().and_then(|all| all.iter().find(|it| it["process"]["pid"] == pid));
    found.unwrap_or_else(|| panic!("{role} (pid {pid}) is not reported: {stop:#}"))
}

#[test]
fn a_stop_reports_the_process_that_ignored_sigterm_and_the_one_that_got_no_signal() {
    let service = Service::start(&[]);
    let Some((stop, facts)) = stopped(&service, "stop-ignored") else { return };
    assert_eq!((&stop["outcome"], &stop["signal_name"]), (&"killed".into(), &"SIGTERM".into()), "{stop:#}");
    assert_eq!(stop["sender"]["process"]["pid"], facts.role("scenario").pid, "{stop:#}");
    let main = process(&stop, &facts, "main");
    assert_eq!((&main["disposition"], &main["dropped"]), (&"ignored".into(), &true.into()), "{stop:#}");
    assert!(main["kill_after_ns"].as_u64() <= main["ended_after_ns"].as_u64(), "{stop:#}");
    let worker = process(&stop, &facts, "worker");
    assert!(worker["signal_name"].is_null(), "{stop:#}");
    assert!(worker["summary"].as_str().is_some_and(|text| text.contains("did not pass it on")), "{stop:#}");
    let killed = service.metrics().get("taskscope_stops_total{outcome=\"killed\"}").copied();
    assert_eq!(killed, Some(1.0));
    // Once its last process is released, the unit has no cgroup, so `explain` finds it by its name only.
    let unit = unit(&facts);
    wait::until_ok(|| {
        let output = Command::new(setting::taskscope())
            .args(["explain", &unit, "--socket"])
            .arg(service.socket())
            .output()
            .unwrap_or_else(|error| panic!("explain: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let is_explained = text.contains("was asked to stop with SIGTERM") && text.contains(&unit);
        if is_explained { Ok(()) } else { Err(format!("{output:?}")) }
    });
    service.stop_clean();
}

#[test]
fn an_init_of_a_namespace_without_a_handler_is_reported_as_one_that_the_kernel_protects() {
    let service = Service::start(&[]);
    let Some((stop, facts)) = stopped(&service, "stop-init") else { return };
    let main = process(&stop, &facts, "main");
    assert_eq!((&main["disposition"], &main["dropped"]), (&"default".into(), &true.into()), "{stop:#}");
    assert!(
        main["summary"].as_str().is_some_and(|text| text.contains("init of its pid namespace")),
        "{stop:#}"
    );
    let worker = process(&stop, &facts, "worker");
    assert_eq!(worker["cause"], "pid_namespace_init", "{stop:#}");
    assert!(worker["kill_after_ns"].is_null(), "the kernel ended it: {stop:#}");
    service.stop_clean();
}

#[test]
fn a_unit_that_passes_the_signal_on_stops_by_itself() {
    let service = Service::start(&[]);
    let Some((stop, facts)) = stopped(&service, "stop-clean") else { return };
    assert_eq!(stop["outcome"], "by_itself", "{stop:#}");
    let (main, worker) = (process(&stop, &facts, "main"), process(&stop, &facts, "worker"));
    assert_eq!((&main["disposition"], &main["cause"]), (&"blocked".into(), &"exited".into()), "{stop:#}");
    assert_eq!((&worker["passed_on"], &worker["cause"]), (&true.into(), &"killed".into()), "{stop:#}");
    assert_eq!(service.metrics().get("taskscope_stops_total{outcome=\"by_itself\"}").copied(), Some(1.0));
    service.stop_clean();
}
