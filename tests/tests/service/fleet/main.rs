//! `taskscope fleet`: the answers of many daemons as one, over TCP and TLS, from hosts that answer and hosts that do not.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod certificates;
#[path = "../../common/mod.rs"]
mod common;
mod namespaces;
mod simulated;
mod srv;
mod top;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    directory::Directory,
    hosts::{Hosts, Reply, http},
    proc,
    service::Service,
    setting, wait,
};

const API: [&str; 3] = ["--api-on-tcp", "--zombie-after", "200ms"];

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.arg("fleet").args(args);
    command
}

fn fleet(args: &[&str]) -> Output {
    command(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `fleet` with `--format json`; returns the answer and the exit code.
#[track_caller]
fn json(args: &[&str]) -> (Value, i32) {
    parsed(&fleet(&[args, &["--format", "json"]].concat()))
}

/// Returns the JSON and the exit code.
#[track_caller]
fn parsed(output: &Output) -> (Value, i32) {
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", stdout(output), stderr(output)));
    (answer, output.status.code().unwrap())
}

/// Returns `host kind` of each host that did not answer.
fn errors(answer: &Value) -> Vec<String> {
    let errors = answer["errors"].as_array().unwrap().iter();
    errors.map(|it| format!("{} {}", it["host"].as_str().unwrap(), it["kind"].as_str().unwrap())).collect()
}

/// Returns the only error's kind and message.
fn error(args: &[&str]) -> (String, String) {
    let (answer, code) = json(args);
    assert_eq!(code, 1, "{answer:#}");
    let text = |key: &str| answer["errors"][0][key].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("message"))
}

#[test]
fn several_daemons_answer_as_one() {
    let history = Directory::new("fleet-history");
    let mut services =
        vec![Service::start(&[&API[..], &["--history", history.0.to_str().unwrap()]].concat())];
    services.extend((1..3).map(|_| Service::start(&API)));
    let metrics_only = Service::start(&[]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let owed = proc::zombies_of(parent).len();
    let mut hosts: Vec<String> = services.iter().map(|service| service.address().to_owned()).collect();
    hosts.push(metrics_only.address().to_owned());
    // Nobody listens on port 1.
    hosts.push("127.0.0.1:1".into());
    let list = hosts.join(",");
    let (answer, code) = wait::until_ok(|| {
        let (answer, code) = json(&["zombies", "--hosts", &list, "--min-age", "200ms"]);
        let rows = answer["parents"].as_array().unwrap();
        let ours = rows
            .iter()
            .filter(|row| row["process"]["pid"] == parent && row["verdict"]["code"] == "never_waits");
        let whole = ours.filter(|row| row["children"]["zombies"] == owed).count() == 3;
        if whole { Ok((answer, code)) } else { Err(format!("{answer:#}")) }
    });
    assert_eq!(code, 9, "zombies are more important than hosts that are missing");
    assert_eq!((&answer["hosts_asked"], &answer["hosts_answered"]), (&5.into(), &3.into()));
    assert_eq!(errors(&answer), [format!("{} no_api", hosts[3]), "127.0.0.1:1 refused".into()]);
    // Parents of other processes that died just now come last.
    let rows = answer["parents"].as_array().unwrap().iter();
    let counts: Vec<u64> = rows
        .filter(|row| row["verdict"]["code"] != "just_died")
        .filter_map(|row| row["children"]["zombies"].as_u64())
        .collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    // Details are printed for the first parents only. Orphans that init has not reaped yet can put init before our parent.
    wait::until_ok(|| {
        let text = stdout(&fleet(&["zombies", "--hosts", &list]));
        let is_whole = text.starts_with("HOST ")
            && text.contains("no answer from 2 of 5 hosts:\n")
            && text.contains(&format!("taskscope fleet explain {}/{parent}", hosts[0]));
        if is_whole { Ok(()) } else { Err(text) }
    });

    let of = |host: &str| format!("{host}/{parent}");
    let (answer, code) = json(&["explain", &of(&hosts[1])]);
    assert_eq!(
        (code, answer["host"].as_str(), &answer["process"]["pid"]),
        (0, Some(&*hosts[1]), &parent.into())
    );
    let (kind, message) = error(&["explain", &format!("{}/4194303", hosts[1])]);
    assert!(kind == "not_found" && message.contains("4194303"), "{kind}: {message}");

    scenario.go();
    scenario.finish();
    // The scenario's processes have ended: all three daemons say when, by the same clock.
    wait::until_ok(|| {
        let (answer, code) = json(&["deaths", "--hosts", &list, "--all", "--limit", "4096"]);
        assert_eq!(code, 10, "{answer:#}");
        let rows = answer["deaths"].as_array().unwrap();
        let times: Vec<&str> = rows.iter().filter_map(|row| row["@timestamp"].as_str()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "the latest first: {times:?}");
        let ours = rows.iter().filter(|row| row["process"]["pid"] == parent);
        let by: Vec<&str> = ours.filter_map(|row| row["host"].as_str()).collect();
        let are_all = hosts[..3].iter().all(|host| by.contains(&&**host));
        if are_all { Ok(()) } else { Err(format!("only these hosts have reported it: {by:?}")) }
    });
    let (answer, _) = json(&["deaths", "--hosts", &list, "--all", "--limit", "2"]);
    assert_eq!(answer["deaths"].as_array().unwrap().len(), 2, "the limit is one for all hosts");

    let (answer, _) = json(&["deaths", "--hosts", &list, "--since", "1h"]);
    let histories = answer["histories"].as_array().unwrap();
    assert!(
        histories.len() == 1 && histories[0]["host"] == *hosts[0],
        "only one host has a history: {histories:?}"
    );

    let (answer, code) = json(&["status", "--hosts", &hosts[..3].join(",")]);
    assert_eq!(code, 0, "{answer:#}");
    for (row, service) in answer["daemons"].as_array().unwrap().iter().zip(sorted(&services)) {
        let own = service.json("/v1/status");
        assert_eq!(row["host"], service.address());
        assert_eq!((&row["version"], &row["ready"]), (&own["version"], &own["ready"]), "{row:#}");
        assert_eq!(
            row["degraded"].as_array().map_or(0, Vec::len),
            own["degraded"].as_array().map_or(0, Vec::len)
        );
    }
    services.into_iter().for_each(Service::stop_clean);
    metrics_only.stop_clean();
}

fn sorted(services: &[Service]) -> Vec<&Service> {
    let mut all: Vec<&Service> = services.iter().collect();
    all.sort_by_key(|service| service.address().to_owned());
    all
}

#[test]
fn a_daemon_that_does_not_know_its_name_is_asked_by_address() {
    if setting::skip_in_vm("a guest has no /etc/hosts, and so no name") {
        return;
    }
    let answer = http("200 OK", "{\"@timestamp\":\"\",\"boottime_ns\":0,\"deaths\":[]}");
    let hosts = Hosts::start(move |_, request| {
        if request.to_lowercase().contains("host: 127.0.0.1:") {
            Reply::Bytes(answer.clone())
        } else {
            Reply::Bytes(http("421 Misdirected Request", "{}"))
        }
    });
    let host = format!("localhost:{}", hosts.port());
    let (answer, code) = json(&["deaths", "--hosts", &host]);
    assert_eq!((code, answer["hosts_answered"].as_u64()), (0, Some(1)), "{answer:#}");
    let text = stdout(&fleet(&["deaths", "--hosts", &host]));
    assert_eq!(text, "no such end on 1 host\n");
}

#[test]
fn a_list_with_errors_is_refused_and_duplicates_are_reported() {
    let directory = Directory::new("fleet-list");
    let file = directory.file("hosts");
    let listed = |text: &str| {
        fs::write(&file, text).unwrap();
        fleet(&["zombies", "--timeout", "1s", "--hosts-file", file.to_str().unwrap()])
    };
    let output = listed("node1\nnode 2\nftp://node3 # no\n");
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(
        log.contains("hosts line 2: `node 2`") && log.contains("hosts line 3") && !log.contains("line 1"),
        "{log}"
    );
    let output = listed("# none\n\n");
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("no host is listed"),
        "{}",
        stderr(&output)
    );
    let output = listed("127.0.0.1:1 # closed\nHTTP://127.0.0.1:1\n[::1]:1\n");
    let (log, text) = (stderr(&output), stdout(&output));
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("line 2: 127.0.0.1:1 is listed before"), "{log}");
    assert!(
        text.starts_with("no zombies on 0 hosts that answered\nno answer from 2 of 2 hosts:\n"),
        "{text}"
    );
    let output = fleet(&["zombies", "--hosts-file", "/nonexistent"]);
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("/nonexistent"),
        "{}",
        stderr(&output)
    );
    let output = fleet(&["zombies", "--hosts-file", "/dev/zero"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("/dev/zero"), "{}", stderr(&output));
    // A name that has no address, and standard input.
    let mut child = Command::new(setting::taskscope())
        .args(["fleet", "status", "--format", "json", "--hosts-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"127.0.0.1:1\nnode1.invalid\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = errors(&answer);
    assert_eq!(found[0], "127.0.0.1:1 refused");
    // A resolver that does not answer is a timeout.
    assert!(["node1.invalid name", "node1.invalid timeout"].contains(&&*found[1]), "{found:?}");
    assert!(Path::new(&file).exists());
}
