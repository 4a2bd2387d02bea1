//! `executable.path` is what /proc/PID/exe shows, also for files without a directory entry; a cut path is marked.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{service::Service, setting, skipped::attempts};

/// Returns what `explain` reports about a program: the daemon by its API, and a client that may read other processes.
fn answers(service: &Service, pid: i64) -> [(&'static str, Value); 2] {
    let asked = service.json(&format!("/v1/explain/{pid}"));
    let output = Command::new(setting::taskscope())
        .args(["explain", "--format", "json", "--socket"])
        .arg(service.socket())
        .arg(pid.to_string())
        .output()
        .unwrap_or_else(|error| panic!("{error}"));
    let client: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"));
    [("api", asked["process"]["executable"].clone()), ("client", client["process"]["executable"].clone())]
}

#[test]
fn a_program_without_a_name_or_with_a_long_one_is_reported_as_proc_shows_it() {
    attempts(|| {
        let service = Service::start(&["--backlog", "1000000"]);
        let mut scenario = scenario("executables", &[]);
        scenario.pause("running");
        let facts: Vec<(String, i64, String)> = scenario
            .facts()
            .all("runs")
            .map(|fact| {
                let text = |key: &str| fact[key].as_str().unwrap_or_default().to_owned();
                (text("role"), fact["pid"].as_i64().unwrap_or_default(), text("exe"))
            })
            .collect();
        assert_eq!(facts.len(), 3);
        let mut reported: Vec<(String, i64, String, &'static str, Value)> = Vec::new();
        for (role, pid, exe) in &facts {
            for (source, executable) in answers(&service, *pid) {
                reported.push((role.clone(), *pid, exe.clone(), source, executable));
            }
        }
        scenario.go();
        scenario.finish();
        for (role, pid, exe) in &facts {
            let lines = service.events(&format!("?since=1h&pid={pid}&action=execed&limit=1"), "").rest();
            let event: Value = serde_json::from_str(&lines[0]).unwrap_or_else(|error| panic!("{error}"));
            reported.push((role.clone(), *pid, exe.clone(), "event", event["process"]["executable"].clone()));
        }
        for (role, _, exe, source, executable) in &reported {
            let path = executable["path"].as_str().unwrap_or_default();
            let is_whole = role != "long" || *source == "client";
            if is_whole {
                // The file is deleted while the program runs: a client sees that in /proc, but the daemon has the path from the
                // exec.
                let at_exec = exe.strip_suffix(" (deleted)").filter(|_| role == "long").unwrap_or(exe);
                assert!(path.starts_with(at_exec), "{source} of {role}: {executable} instead of {exe}");
                assert_eq!(executable["truncated"], Value::Null, "{source} of {role}: {executable}");
                assert_eq!(executable["deleted"], true, "{source} of {role}: {executable}");
            } else {
                let end =
                    path.strip_prefix("...").unwrap_or_else(|| panic!("{source}: {executable} of {exe}"));
                // If the kernel skipped the program at the exec, the path is that of /proc.
                let end = end.strip_suffix(" (deleted)").unwrap_or(end);
                assert!(
                    exe.strip_suffix(" (deleted)").unwrap_or(exe).ends_with(end),
                    "{source} of {role}: {executable} instead of {exe}"
                );
                assert_eq!(executable["truncated"], true, "{source} of {role}: {executable}");
            }
            if role != "long" {
                assert_eq!(path, exe, "{source} of {role}");
                assert_eq!(executable["deleted"], true, "{source} of {role}: {executable}");
            }
        }
        service.stop_clean();
    });
}
