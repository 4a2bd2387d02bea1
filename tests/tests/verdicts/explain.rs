//! `taskscope explain` and `taskscope zombies` on real processes: one command names the responsible process and the remedy.

#[path = "../common/mod.rs"]
mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Instant,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{client, scenario::Scenario, setting, spawner, wait};

const NONE: i32 = 0;
const PRIVILEGE: i32 = 3;
const ZOMBIES: i32 = 9;

/// Runs taskscope without a daemon, even if one is running.
fn taskscope(args: &[&str]) -> Output {
    client::run(&[args, &["--alone"]].concat())
}

fn json(args: &[&str]) -> Value {
    client::json(&[args, &["--alone"]].concat())
}

/// Returns what `explain` reports about a role while a scenario is paused, once the death is old enough for a verdict.
#[track_caller]
fn explain(scenario: &Scenario, role: &str) -> Value {
    let pid = scenario.facts().role(role).pid.to_string();
    wait::until_answer(
        || json(&["explain", "--format", "json", &pid]),
        |explained| !explained["verdict"]["summary"].to_string().contains("may be about to wait for it"),
    )
}

/// Starts a scenario and pauses it while a parent has a zombie for which it has not waited.
fn owing(name: &str, args: &[&str], at: &str) -> Scenario {
    let mut scenario = scenario(name, args);
    scenario.pause(at);
    scenario
}

/// Checks the verdict on the zombie, by a command that was given the zombie's pid only.
#[track_caller]
fn verdict(name: &str, zombie: &str, culprit: &str, code: &str, remedy: &str) -> Value {
    verdict_at(name, &[], "owed", zombie, culprit, code, remedy)
}

#[track_caller]
fn verdict_at(
    name: &str,
    args: &[&str],
    at: &str,
    zombie: &str,
    culprit: &str,
    code: &str,
    remedy: &str,
) -> Value {
    let mut scenario = owing(name, args, at);
    let explained = explain(&scenario, zombie);
    let verdict = &explained["verdict"];
    assert_eq!(verdict["code"], code, "{verdict:#}");
    assert_eq!(verdict["culprit"]["pid"], scenario.facts().role(culprit).pid, "{verdict:#}");
    assert!(verdict["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{verdict:#}");
    assert_eq!(explained["task"]["state"], "zombie", "{explained:#}");
    scenario.go();
    scenario.finish();
    explained
}

#[test]
fn a_parent_that_never_waits_is_named() {
    let explained = verdict("never-waits", "child", "parent", "never_waits", "waitpid(-1");
    // `explain` has not observed the parent from its start: earlier waits for children without usage leave no trace.
    assert_eq!(explained["verdict"]["certainty"], "likely", "{explained:#}");
}

#[test]
fn a_stopped_parent_is_to_be_continued() {
    verdict("parent-stopped", "child", "parent", "parent_stopped", "kill -CONT");
}

#[test]
fn a_parent_that_a_debugger_stopped_is_distinguished_from_one_that_a_signal_stopped() {
    verdict("parent-traced", "child", "parent", "parent_stopped_by_tracer", "debugger");
}

#[test]
fn a_parent_held_by_vfork_in_d_state_names_the_child_that_holds_it() {
    let mut scenario = owing("parent-vfork-held", &[], "owed");
    let explained = explain(&scenario, "child");
    let verdict = &explained["verdict"];
    assert_eq!(verdict["code"], "parent_held_by_vfork", "{verdict:#}");
    assert_eq!(verdict["culprit"]["pid"], scenario.facts().role("holder").pid, "{verdict:#}");
    assert_eq!(explain(&scenario, "parent")["verdict"]["code"], "held_by_vfork");
    scenario.go();
    scenario.finish();
}

#[test]
fn a_handler_behind_a_blocked_sigchld_never_runs() {
    verdict("sigchld-blocked", "child", "parent", "sigchld_blocked", "unblock SIGCHLD");
}

#[test]
fn a_handler_that_takes_one_child_a_signal_has_to_loop() {
    let mut scenario = owing("sigchld-coalesced", &[], "owed");
    let explained = explain(&scenario, "child");
    assert_eq!(explained["verdict"]["code"], "sigchld_coalesced", "{explained:#}");
    assert!(explained["verdict"]["remedy"].as_str().unwrap().contains("must loop"), "{explained:#}");
    scenario.go();
    scenario.finish();
}

#[test]
fn sigchld_ignored_after_the_death_does_not_help() {
    verdict("ignored-too-late", "child", "parent", "sigchld_ignored_too_late", "wait once more");
}

#[test]
fn the_init_of_a_container_that_does_not_reap_is_named() {
    verdict("container-init", "child", "parent", "container_init_does_not_reap", "docker run --init");
}

#[test]
fn a_wait_with_wnothread_in_another_thread_is_seen() {
    let explained = verdict("wait-nothread", "child", "parent", "wait_nothread", "without __WNOTHREAD");
    assert_eq!(explained["verdict"]["certainty"], "certain", "{explained:#}");
}

#[test]
fn a_wait_for_another_child_is_seen() {
    verdict("waits-for-another", "child", "parent", "waits_for_another", "waitpid(-1)");
}

#[test]
fn a_parent_that_waits_for_other_children_is_not_reported_to_never_wait() {
    verdict("not-waited-for", "child", "parent", "not_waited_for", "each of its children");
}

#[test]
fn another_exit_signal_needs_wall_or_wclone() {
    for signal in ["10", "0"] {
        let explained = verdict_at(
            "exit-signal",
            &[signal],
            "zombie",
            "child",
            "scenario",
            "exit_signal_not_sigchld",
            "__WALL",
        );
        assert_eq!(explained["task"]["exit_signal"].to_string(), signal);
    }
}

#[test]
fn a_foreign_tracer_holds_the_zombie() {
    verdict_at("foreign-tracer", &[], "held", "tracee", "tracer", "held_by_tracer", "detach");
}

#[test]
fn a_dead_leader_is_no_zombie_and_none_is_counted() {
    let mut scenario = owing("leader-exits-first", &[], "dead-leader");
    let group = scenario.facts().role("group").pid;
    let explained = explain(&scenario, "group");
    assert_eq!(explained["verdict"]["code"], "dead_leader", "{explained:#}");
    let zombies = json(&["zombies", "--format", "json"]);
    let pids = |list: &str| -> Vec<Value> {
        zombies[list].as_array().into_iter().flatten().map(|other| other["pid"].clone()).collect()
    };
    assert!(pids("dead_leaders").contains(&group.into()), "{zombies:#}");
    let owed = zombie_parent(&zombies, scenario.facts().role("scenario").pid);
    assert_eq!(owed, None, "{zombies:#}");
    scenario.go();
    scenario.finish();
}

#[test]
fn an_init_whose_exit_hangs_names_the_zombie_and_its_parent() {
    let mut scenario = owing("stuck-exit", &[], "stuck");
    let explained = explain(&scenario, "init");
    let verdict = &explained["verdict"];
    assert_eq!(verdict["code"], "exit_stuck", "{explained:#}");
    assert_eq!(verdict["culprit"]["pid"], scenario.facts().role("scenario").pid, "{verdict:#}");
    let guest = format!("(pid {})", scenario.facts().role("guest").pid);
    assert!(verdict["summary"].as_str().unwrap().contains(&guest), "{verdict:#}");
    scenario.go();
    scenario.finish();
}

/// Returns the entry of one parent in the answer of `zombies`.
fn zombie_parent(zombies: &Value, pid: i64) -> Option<Value> {
    zombies["parents"].as_array()?.iter().find(|parent| parent["process"]["pid"] == pid).cloned()
}

#[test]
fn zombies_are_counted_by_the_parent_that_owes_the_wait() {
    let mut scenario = owing("never-waits", &[], "owed");
    let parent = scenario.facts().role("parent").pid;
    let output = taskscope(&["zombies", "--observe", "1s", "--min-age", "500ms", "--format", "json"]);
    assert_eq!(output.status.code(), Some(ZOMBIES), "{output:?}");
    let zombies: Value = serde_json::from_slice(&output.stdout).unwrap();
    let zombie_parent = zombie_parent(&zombies, parent).unwrap_or_else(|| panic!("{zombies:#}"));
    assert_eq!(zombie_parent["children"]["zombies"], 3, "{zombie_parent:#}");
    assert_eq!(zombie_parent["verdict"]["code"], "never_waits", "{zombie_parent:#}");
    assert_eq!(zombie_parent["oldest_zombies"].as_array().map(Vec::len), Some(3), "{zombie_parent:#}");
    let age = |bound: &str| {
        zombie_parent[bound].as_u64().unwrap_or_else(|| panic!("no {bound}: {zombie_parent:#}"))
    };
    assert!(age("zombie_at_least_ns") >= 500_000_000, "{zombie_parent:#}");
    assert!(age("zombie_at_least_ns") <= age("zombie_at_most_ns"), "{zombie_parent:#}");
    // The text names the responsible process's pid and the remedy on the same screen.
    let text = taskscope(&["zombies"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for wanted in [format!("(pid {parent})"), "never waits".into(), format!("kill {parent}")] {
        assert!(text.contains(&wanted), "no `{wanted}` in\n{text}");
    }
    scenario.go();
    scenario.finish();
}

#[test]
fn explain_of_a_parent_lists_its_zombies() {
    let mut scenario = owing("never-waits", &[], "owed");
    let explained = explain(&scenario, "parent");
    assert_eq!(explained["verdict"]["code"], "owes_waits", "{explained:#}");
    assert_eq!(explained["task"]["children"]["zombies"], 3, "{explained:#}");
    scenario.go();
    scenario.finish();
}

#[test]
fn watching_shows_the_orphan_at_the_subreaper_that_does_not_reap() {
    let mut command = Command::new(setting::taskscope());
    command
        .args(["zombies", "--alone", "--watch", "200ms", "--format", "json", "--attach", &setting::attach()])
        .stdout(Stdio::piped());
    let mut watcher = spawner::spawn(command).unwrap();
    let (sender, lines) = mpsc::channel();
    let stdout = watcher.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + setting::deadline() * 3;
    let next = || -> Value {
        let line = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
        serde_json::from_str(&line.unwrap_or_else(|error| panic!("the output has ended: {error}"))).unwrap()
    };
    next();
    let mut scenario = owing("subreaper-no-reap", &[], "owed");
    let parent = scenario.facts().role("parent").pid;
    let seen = loop {
        match zombie_parent(&next(), parent) {
            Some(seen) if seen["verdict"]["code"] != "just_died" => break seen,
            _ => {}
        }
    };
    assert_eq!(seen["verdict"]["code"], "subreaper_does_not_reap", "{seen:#}");
    assert_eq!(seen["children"]["reaped"], 1, "it has waited for the orphan's parent: {seen:#}");
    scenario.go();
    scenario.finish();
    while zombie_parent(&next(), parent).is_some() {}
    spawner::signal(&watcher, libc::SIGTERM);
    // The exit code is 1 if zombies are left: there may be zombies of other programs.
    assert!(matches!(watcher.wait().unwrap().code(), Some(NONE | ZOMBIES)));
}

#[test]
fn without_the_capability_to_read_processes_the_error_names_the_remedy() {
    for arguments in [&["zombies", "--alone"][..], &["explain", "--alone", "1"], &["tree", "--alone"]] {
        let mut command = Command::new(setting::taskscope());
        command.args(arguments);
        spawner::without_privileges(&mut command);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(PRIVILEGE), "{arguments:?}: {stderr}");
        assert!(stderr.contains("root") && stderr.contains("taskscope run"), "{stderr}");
    }
}

#[test]
fn a_pid_without_a_process_is_named_in_the_error() {
    for selector in ["4194303", "0badcafe-7-7", "no-such-name"] {
        let output = taskscope(&["explain", selector]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(selector), "{output:?}");
    }
}
