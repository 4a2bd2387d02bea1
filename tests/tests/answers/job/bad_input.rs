//! Commands that end their reporter, and commands that do not end.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
};

use serde_json::Value;
use taskscope_tests::{directory::Directory, proc, service::Service, spawner, wait};

use super::{Source, job, scenario, taskscope};

#[test]
fn a_command_that_kills_its_reporter_goes_on_and_the_daemon_too() {
    let service = Service::start(&[]);
    for (name, source) in [("reporter-alone", Source::Alone), ("reporter-daemon", Source::Daemon(&service))] {
        let directory = Directory::new(name);
        let file = directory.file("report.json");
        let mut command = taskscope(&source);
        command.arg("--report").arg(&file).arg("--").args(scenario(&["job-kill-parent"]));
        // Returns once the command has closed standard output.
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
        // It was opened before the command started, so that a report that cannot be written is refused early.
        assert_eq!(fs::read_to_string(&file).unwrap(), "", "there is nobody to write a report");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut facts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let fact = facts.find(|fact| fact["fact"] == "goes-on");
        let pid = fact.and_then(|fact| fact["pid"].as_u64()).unwrap_or_else(|| panic!("no pid: {text}"));
        wait::until("the end of the command", || proc::state(pid).is_none_or(|state| state == 'Z'));
        if let Source::Daemon(service) = source {
            wait::until_answer(
                || service.json(&format!("/v1/tasks/{pid}")),
                |answer| answer["task"]["state"] == "released" || answer["task"]["state"] == "zombie",
            );
        }
    }
    // The next job of the same daemon has its report.
    let next = job(&Source::Daemon(&service), "reporter-next", &[], &scenario(&["job-tree", "2"]));
    next.assert_whole();
    assert_eq!(next.number("/processes/made"), 5, "{}", next.report);
}

#[test]
fn a_command_that_forks_without_end_is_ended_and_reported() {
    let directory = Directory::new("endless");
    let file = directory.file("report.json");
    let mut command = taskscope(&Source::Alone);
    command.arg("--report").arg(&file).arg("--").args(scenario(&["job-endless", "100"]));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = spawner::spawn(command).unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let forks = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("\"forks\"")));
    assert!(forks.is_some(), "the command has not started");
    spawner::signal(&running, libc::SIGTERM);
    let output = running.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(128 + libc::SIGTERM), "{stderr}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report["exit"]["signal"], "SIGTERM", "{report}");
    assert!(report["processes"]["made"].as_u64() > Some(100), "{report}");
    assert_eq!(report["usage"]["left"]["processes"], 0, "{report}");
}
