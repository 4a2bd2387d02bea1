//! Answers of one daemon agree, whether the daemon or a client completes them; counts of one answer are from one moment; events
//! out of order are marked.

#[path = "../common/mod.rs"]
mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    cgroup::Cgroup, scenario::Scenario, service::Service, setting, skipped::attempts, spawner, wait,
};

fn client(service: &Service, args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(args).arg("--socket").arg(service.socket());
    command
}

#[track_caller]
fn json(mut command: Command) -> Value {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}: {output:?}"))
}

/// Returns the first line of `zombies --watch`.
fn watched(service: &Service) -> Value {
    let mut command = client(service, &["zombies", "--watch", "1h", "--format", "json"]);
    command.stdout(Stdio::piped());
    let mut watcher = spawner::spawn(command).unwrap_or_else(|error| panic!("{error}"));
    let mut line = String::new();
    let stdout = watcher.stdout.take().unwrap_or_else(|| panic!("no standard output"));
    BufReader::new(stdout).read_line(&mut line).unwrap_or_else(|error| panic!("{error}"));
    spawner::signal(&watcher, libc::SIGTERM);
    watcher.wait().unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn owing(zombies: &Value, parent: i64) -> Option<Value> {
    zombies["parents"].as_array()?.iter().find(|it| it["process"]["pid"] == parent).cloned()
}

fn pid(scenario: &Scenario, role: &str) -> i64 {
    scenario.facts().role(role).pid
}

/// Scenarios in which a client may see more than the daemon, and scenarios in which the daemon knows more.
const OWING: [&str; 8] = [
    "never-waits",
    "not-waited-for",
    "waits-for-another",
    "sigchld-blocked",
    "sigchld-coalesced",
    "ignored-too-late",
    "subreaper-no-reap",
    "exec-over",
];

#[test]
fn all_answers_name_the_same_parent_for_the_same_reason() {
    let service = Service::start(&[]);
    for name in OWING {
        let mut scenario = scenario(name, &[]);
        scenario.pause("owed");
        let (child, parent) = (pid(&scenario, "child"), pid(&scenario, "parent"));
        let (explained, listed, shown, by_daemon) = wait::until_ok(|| {
            let explained = json(client(&service, &["explain", "--format", "json", &child.to_string()]));
            let listed = json(client(&service, &["zombies", "--format", "json"]));
            let (listed, shown) = (owing(&listed, parent), owing(&watched(&service), parent));
            let by_daemon = service.json(&format!("/v1/explain/{child}"));
            let (Some(listed), Some(shown)) = (listed, shown) else { panic!("{name}: {explained:#}") };
            let is_settled =
                [&explained, &listed, &shown].iter().all(|it| it["verdict"]["code"] != "just_died");
            if is_settled {
                Ok((explained, listed, shown, by_daemon))
            } else {
                Err(format!("{name}: {explained:#}"))
            }
        });
        // The daemon has no `CAP_SYS_PTRACE`, so it names the parent, but perhaps not the reason.
        assert_eq!(by_daemon["parent"]["pid"], parent, "{name}: {by_daemon:#}");
        assert_eq!(explained["parent"], by_daemon["parent"], "{name}: {explained:#}");
        // The list has the verdict on the oldest zombie of the parent, and `explain` the verdict on the child.
        for key in ["code", "certainty", "summary", "culprit", "remedy", "missing"] {
            assert_eq!(listed["verdict"][key], shown["verdict"][key], "{name}: {key}");
        }
        if listed["children"]["zombies"] == 1 {
            for key in ["code", "certainty", "summary", "culprit", "remedy"] {
                assert_eq!(explained["verdict"][key], listed["verdict"][key], "{name}: {key}");
            }
        }
        scenario.go();
        scenario.finish();
    }
    service.stop_clean();
}

#[test]
fn all_counts_of_one_answer_are_of_the_same_time() {
    let service = Service::start(&[]);
    let mut holder = scenario("zombies", &["40"]);
    holder.pause("zombies");
    let mut storm = scenario("burst", &["400"]);
    let parent = pid(&holder, "scenario");
    for _ in 0..20 {
        let zombies = service.json("/v1/zombies");
        let parents = zombies["parents"].as_array().cloned().unwrap_or_default();
        let sum: u64 = parents.iter().filter_map(|it| it["children"]["zombies"].as_u64()).sum();
        assert_eq!(zombies["parents_left_off"].as_u64().unwrap_or(0), 0, "{zombies:#}");
        assert_eq!(zombies["zombies"].as_u64(), Some(sum), "{zombies:#}");
        let explained = service.json(&format!("/v1/explain/{parent}"));
        let count = explained["task"]["children"]["zombies"].as_u64().unwrap_or_default();
        let words = explained["verdict"]["summary"].as_str().unwrap_or_default();
        assert!(words.contains(&format!("{count} zombie children")), "{explained:#}");
    }
    storm.finish();
    holder.go();
    holder.pause("reaped");
    holder.go();
    holder.finish();
    service.stop_clean();
}

/// Checks that events are in the order of their times, except those with `late_ns`.
#[test]
fn an_event_out_of_order_has_its_delay() {
    attempts(|| {
        let service = Service::start(&["--backlog", "1000000"]);
        scenario("burst", &["500"]).finish();
        let lines = service.events("?since=1h&limit=1500", "").rest();
        assert!(lines.len() >= 1_500, "{} events", lines.len());
        let mut latest = 0;
        for line in lines {
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let Some(at) = event["boottime_ns"].as_u64() else { continue };
            let late = event["event"]["late_ns"].as_u64().unwrap_or_default();
            // The first event of the log may be late relative to an event that the log no longer has.
            assert!(latest == 0 || late == latest_minus(latest, at), "{late} of {line}, after {latest}");
            latest = latest.max(at);
        }
        service.stop_clean();
    });
}

const fn latest_minus(latest: u64, at: u64) -> u64 {
    latest.saturating_sub(at)
}

#[test]
fn zombies_of_one_unit_are_those_of_parents_in_it() {
    let id = std::process::id();
    let unit = format!("leaky{id}.service");
    let Some(cgroup) = Cgroup::make(&[&format!("leaky{id}.slice"), &unit]) else { return };
    let service = Service::start(&[]);
    let (mut inside, mut outside) = (scenario("never-waits", &[]), scenario("never-waits", &[]));
    inside.pause("owed");
    outside.pause("owed");
    let parent = pid(&inside, "parent");
    cgroup.take(parent);
    for source in
        [vec!["--socket".to_owned(), service.socket().display().to_string()], vec!["--alone".into()]]
    {
        let ask = |glob: &str| {
            let mut command = Command::new(setting::taskscope());
            command.args(["zombies", "--format", "json", "--unit", glob]).args(&source);
            json(command)
        };
        let found = wait::until_answer(
            || ask(&format!("leaky{id}*")),
            |found| found["parents"].as_array().is_some_and(|parents| parents.len() == 1),
        );
        assert_eq!(found["parents"][0]["process"]["pid"], parent, "{found:#}");
        assert_eq!(found["zombies"], 3, "{found:#}");
        let none = ask("no-such-unit*");
        assert_eq!(none["zombies"], 0, "{none:#}");
    }
    for mut scenario in [inside, outside] {
        scenario.go();
        scenario.finish();
    }
    service.stop_clean();
}

#[test]
fn a_worker_that_the_kernel_made_is_reported_as_one() {
    let service = Service::start(&[]);
    let mut scenario = scenario("io-worker", &["hold"]);
    if scenario.until(&["pause", "skip"])["fact"] == "skip" {
        return setting::skip(format_args!("there is no io_uring here"));
    }
    if scenario.facts().all("no-worker").next().is_some() {
        scenario.go();
        scenario.finish();
        return setting::skip(format_args!("this kernel's io_uring workers are kernel threads"));
    }
    let (user, worker) = (pid(&scenario, "user"), scenario.facts().role("worker").tid);
    for source in
        [vec!["--socket".to_owned(), service.socket().display().to_string()], vec!["--alone".into()]]
    {
        let mut command = Command::new(setting::taskscope());
        command.args(["explain", "--format", "json", &user.to_string()]).args(&source);
        let explained = json(command);
        let tasks = explained["now"]["tasks"].as_array().cloned().unwrap_or_default();
        let found = tasks.iter().find(|task| task["tid"] == worker);
        assert!(found.is_some_and(|task| task["kind"] == "io_worker"), "{explained:#}");
        let mut command = Command::new(setting::taskscope());
        command.args(["explain", &user.to_string()]).args(&source);
        let text = command.output().unwrap_or_else(|error| panic!("{error}"));
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.contains("io_uring worker"), "{text}");
    }
    scenario.go();
    scenario.finish();
    service.stop_clean();
}
