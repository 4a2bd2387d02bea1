//! Verdicts of `taskscope explain` on processes of a scenario.

use std::process::Command;

use serde_json::Value;

use crate::{scenario::Scenario, service::Service, setting, wait};

/// Returns the verdict on a pid, from `daemon` or, without one, from a client that observes by itself. Asks again while the verdict
/// is `just_died`.
#[track_caller]
#[must_use]
pub fn explain(pid: i64, daemon: Option<&Service>) -> Value {
    let ask = || {
        let mut command = Command::new(setting::taskscope());
        command.args(["explain", "--format", "json", &pid.to_string()]);
        match daemon {
            Some(service) => command.arg("--socket").arg(service.socket()),
            None => command.args(["--alone", "--attach", &setting::attach()]),
        };
        let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{command:?}: {error}\n{}", String::from_utf8_lossy(&output.stderr))
        })
    };
    let explained: Value = wait::until_answer(ask, |explained| explained["verdict"]["code"] != "just_died");
    explained["verdict"].clone()
}

/// Runs a scenario up to its pause `at`, checks the verdicts of a daemon, which sees the scenario from its start, and of a client
/// without a daemon on a role, and ends the scenario.
#[track_caller]
pub fn both(start: impl FnOnce() -> Scenario, at: &str, role: &str, check: impl Fn(&Scenario, &Value, bool)) {
    let service = Service::start(&[]);
    let mut scenario = start();
    if scenario.pause_or_skip(at) {
        for daemon in [Some(&service), None] {
            let verdict = explain(pid(&scenario, role), daemon);
            check(&scenario, &verdict, daemon.is_some());
        }
        scenario.go();
        scenario.finish();
    }
    service.stop_clean();
}

/// Returns the pid of a role of the scenario.
#[must_use]
pub fn pid(scenario: &Scenario, role: &str) -> i64 {
    scenario.facts().role(role).pid
}

/// Returns whether a field of the verdict contains the text.
#[must_use]
pub fn says(verdict: &Value, key: &str, text: &str) -> bool {
    verdict[key].to_string().contains(text)
}
