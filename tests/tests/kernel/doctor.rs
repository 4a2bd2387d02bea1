//! `taskscope events` attaches the hooks as `taskscope doctor` says.

use std::process::Command;

use serde_json::Value;
use taskscope_tests::{observer::Observer, setting, spawner};

const FULL: i32 = 0;
const PRIVILEGE: i32 = 3;
const DEGRADED: i32 = 8;

#[test]
fn doctor_names_for_every_hook_the_rung_that_events_takes() {
    let output = Command::new(setting::taskscope()).args(["doctor", "--format", "json"]).output().unwrap();
    let code = output.status.code();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hooks = report["hooks"].as_array().unwrap();
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--attach", "auto"]);
    let observer = Observer::start_command(command);
    let ready = observer.log().text();
    for name in ["copy_process", "do_exit", "exit_notify", "release_task", "sched_switch"] {
        let hook =
            hooks.iter().find(|hook| hook["hook"] == name).unwrap_or_else(|| panic!("no {name}: {report}"));
        let rung = hook["rung"].as_str().unwrap_or_else(|| panic!("{name} has no rung: {hook}"));
        assert!(ready.contains(&format!("{name} by {rung}")), "events does not use {rung}: {ready}");
        // The reason for not using a rung is the kernel's errno, or a text if there is none.
        for refused in hook["refused"].as_array().unwrap() {
            assert!(refused["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{refused}");
        }
    }
    let lacking = hooks.iter().any(|hook| hook["lacks"].is_string());
    assert_eq!(code, Some(if lacking { DEGRADED } else { FULL }), "{report}");
    observer.stop();
}

#[test]
fn doctor_without_privilege_names_what_it_could_not_check() {
    let mut command = Command::new(setting::taskscope());
    command.arg("doctor");
    spawner::without_privileges(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(PRIVILEGE), "{text}");
    assert!(text.contains("CAP_BPF") && text.contains("not checked"), "{text}");
}
