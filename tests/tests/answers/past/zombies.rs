//! The zombies of a past time.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use taskscope_tests::wait;
use taskscope_tests::{history::History, proc, service::Service, setting};

use super::{FORGETFUL, common::scenario, have_ended, is_skipped, json};

/// The zombies of a parent in an answer of `zombies --at`.
fn named_zombies(answer: &Value, parent: i64) -> BTreeSet<i64> {
    let parents = answer["parents"].as_array().into_iter().flatten();
    let own = parents.filter(|it| it["pid"] == parent);
    let zombies = own.flat_map(|it| it["zombies"].as_array().into_iter().flatten());
    zombies.filter_map(|zombie| zombie["pid"].as_i64()).collect()
}

#[test]
fn zombies_of_a_past_time_are_those_that_proc_showed_then() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let mut held = scenario("never-waits", &[]);
    held.pause("owed");
    let parent = held.facts().role("parent").pid;
    let seen = proc::zombies_of(parent);
    assert!(!seen.is_empty(), "{parent} owes no wait");
    // Wait until the daemon knows the end of each of them.
    let has_them = |answer: &Value| named_zombies(answer, parent) == seen;
    wait::until_answer(|| service.json("/v1/zombies?at=0ms"), has_them);
    // Tracepoints report a release an RCU grace period late; a zombie that no poll has seen may have been reaped at once.
    let is_old = |found: &Value| {
        found["process"]["pid"].as_i64() == Some(parent)
            && found["zombie_at_least_ns"].as_u64() > Some(300_000_000)
    };
    let has_old = |answer: &Value| answer["parents"].as_array().is_some_and(|all| all.iter().any(is_old));
    wait::until_answer(|| service.json("/v1/zombies"), has_old);
    let then = setting::date();
    held.go();
    held.finish();
    wait::until("the ends of the zombies are reported", || have_ended(&service, seen.iter().copied()));
    let ask = |args: &[&str]| -> Value {
        let output = Command::new(setting::taskscope()).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("starting taskscope: {error}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The exit code is 9 if a zombie was older than a second.
        assert!(matches!(output.status.code(), Some(0 | 9)), "{args:?}: {said}");
        json(&output)
    };
    let question = ["zombies", "--at", &then, "--format", "json"];
    let daemon = |service: &Service| {
        ask(&[&question[..], &["--socket", service.socket().to_str().unwrap_or_default()]].concat())
    };
    let memory = daemon(&service);
    assert_eq!(named_zombies(&memory, parent), seen, "{memory:#}");
    service.stop_clean();
    // The next daemon was not running then.
    let service = directory.start(&FORGETFUL);
    let past = daemon(&service);
    assert_eq!(named_zombies(&past, parent), seen, "{past:#}");
    assert!(past["history"]["known_since"].is_string(), "{past:#}");
    service.stop_clean();
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let alone = ask(&[&question[..], &["--from", path]].concat());
    assert_eq!(named_zombies(&alone, parent), seen, "{alone:#}");
    let text = Command::new(setting::taskscope()).args(["zombies", "--at", &then, "--from", path]).output();
    let text = text.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    assert!(text.contains(&format!("(pid {parent}) had not waited for")), "{text}");
    let refused = Command::new(setting::taskscope()).args(["zombies", "--from", path]).output();
    assert_eq!(refused.ok().and_then(|output| output.status.code()), Some(2));
}
