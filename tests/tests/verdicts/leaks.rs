//! Leaks other than zombies: `taskscope leaks` names the process that causes each, and nobody else. The remedies that it prints
//! are tried.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{remedy, scenario::Scenario, service::Service, setting, wait};

const THRESHOLDS: [&str; 8] =
    ["--leak-window", "8s", "--thread-leak", "40", "--respawn-loop", "5", "--fork-storm", "300"];

fn leaks(service: &Service) -> Vec<Value> {
    service.json("/v1/leaks")["leaks"].as_array().cloned().unwrap_or_default()
}

/// Waits until a leak of this kind is reported of a process.
#[track_caller]
fn leak_of(service: &Service, kind: &str, pid: i64) -> Value {
    wait::until_some(format_args!("a {kind} of {pid} is reported"), || {
        leaks(service).into_iter().find(|it| it["kind"] == kind && it["process"]["pid"] == pid)
    })
}

/// Waits until no leak of this kind is reported of a process.
#[track_caller]
fn until_over(service: &Service, kind: &str, pid: i64) {
    wait::until(format_args!("no {kind} of {pid} is reported"), || {
        !leaks(service).iter().any(|it| it["kind"] == kind && it["process"]["pid"] == pid)
    });
}

fn explained(service: &Service, pid: i64) -> Value {
    service.json(&format!("/v1/explain/{pid}"))["verdict"].clone()
}

/// Waits until the verdict about a process is this one: while a child of it is a zombie, the verdict is about the zombie.
#[track_caller]
fn until_explained(service: &Service, pid: i64, code: &str) {
    wait::until_answer(|| explained(service, pid), |verdict| verdict["code"] == code);
}

#[track_caller]
fn assert_remedy(leak: &Value, commands: &[&str]) {
    let remedy = leak["verdict"]["remedy"].as_str().unwrap_or_default();
    for command in commands {
        assert!(remedy.contains(command), "{command} is not in: {remedy}");
    }
}

/// Starts a scenario that leaks; returns it with the pid of the child that does.
#[track_caller]
fn leaking(name: &str) -> (Scenario, i64) {
    let mut acted = scenario(name, &[]);
    acted.until(&["pause", "role"]);
    while acted.facts().roles().iter().all(|role| role.name != "child") {
        acted.until(&["pause", "role"]);
    }
    let pid = acted.facts().role("child").pid;
    (acted, pid)
}

/// Checks, by the status from the kernel, that the remedy has ended the child with this signal.
#[track_caller]
fn ended_by(mut acted: Scenario, signal: i64) {
    acted.go();
    let status = i64::from(acted.finish().waited("child").status);
    assert_eq!(status & 0x7f, signal, "{status:#x}");
}

#[test]
fn threads_that_only_grow_are_a_leak_until_the_process_ends() {
    let service = Service::start(&THRESHOLDS);
    let (acted, pid) = leaking("leak-threads");
    let leak = leak_of(&service, "thread_leak", pid);
    let verdict = &leak["verdict"];
    assert_eq!((&verdict["code"], &verdict["certainty"]), (&"threads_only_grow".into(), &"certain".into()));
    let (count, alive) = (leak["count"].as_u64().unwrap(), leak["alive"].as_u64().unwrap());
    assert!(count >= 40 && alive > count, "{leak:#}");
    // The kernel's count is read later, so it is not lower.
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count() as u64;
    assert!(alive <= tasks, "{alive} of {tasks}");
    assert!(leak["limit"]["limit"].as_u64() > leak["limit"]["used"].as_u64(), "{leak:#}");
    let explained = explained(&service, pid);
    assert_eq!(explained["code"], "threads_only_grow", "{explained:#}");
    let limits = service.json(&format!("/v1/limits?pid={pid}"));
    assert_eq!(limits["leaks"][0]["process"]["pid"], pid, "{limits:#}");
    let metrics = service.metrics();
    assert!(metrics[r#"taskscope_leaks{certainty="certain",kind="thread_leak"}"#] >= 1.0, "{metrics:#?}");
    assert!(metrics[r#"taskscope_leaks_flagged_total{kind="thread_leak"}"#] >= 1.0);
    let list = format!("cat /proc/{pid}/task/*/comm | sort | uniq -c");
    assert_remedy(&leak, &[&list, &format!("kill {pid}")]);
    assert!(remedy::run(&list).lines().any(|line| line.ends_with("leaked")));
    remedy::run(&format!("kill {pid}"));
    until_over(&service, "thread_leak", pid);
    ended_by(acted, 15);
    service.stop_clean();
}

#[test]
fn a_program_that_is_started_again_and_again_is_a_loop_of_the_one_that_starts_it() {
    let service = Service::start(&THRESHOLDS);
    let (acted, pid) = leaking("leak-respawn");
    let leak = leak_of(&service, "respawn_loop", pid);
    assert_eq!(leak["verdict"]["certainty"], "likely", "its parent may do other work: {leak:#}");
    let evidence = leak["verdict"]["evidence"].to_string();
    assert!(evidence.contains("exited with code 3"), "{evidence}");
    let last = &leak["processes"][0];
    assert_eq!(last["name"], "app", "{leak:#}");
    until_explained(&service, pid, "respawn_loop");
    let last = last["pid"].as_i64().unwrap();
    assert_remedy(&leak, &[&format!("taskscope deaths --pid {last}"), &format!("kill {pid}")]);
    let deaths = service.json(&format!("/v1/deaths?pid={last}"));
    assert_eq!(deaths["deaths"][0]["exit"]["code"], 3, "{deaths:#}");
    remedy::run(&format!("kill {pid}"));
    until_over(&service, "respawn_loop", pid);
    ended_by(acted, 15);
    service.stop_clean();
}

#[test]
fn a_program_of_a_unit_that_is_started_again_and_again_is_certain() {
    let service = Service::start(&THRESHOLDS);
    let mut acted = scenario("leak-unit", &[]);
    let first = acted.until(&["pause", "skip"]);
    if first["fact"] == "skip" {
        return setting::skip(first);
    }
    let pid = acted.facts().role("child").pid;
    let unit =
        acted.facts().all("unit").next().and_then(|it| it["name"].as_str()).unwrap_or_default().to_owned();
    let leak = leak_of(&service, "respawn_loop", pid);
    assert_eq!(leak["verdict"]["certainty"], "certain", "{leak:#}");
    assert_eq!(leak["cgroup"]["unit"], unit, "{leak:#}");
    let deaths = format!("taskscope deaths --unit '{unit}'");
    assert_remedy(&leak, &[&deaths]);
    let shown = remedy::ask(&deaths, &service);
    assert!(shown.contains("exited by itself with code 3"), "{shown}");
    acted.go();
    acted.finish();
    until_over(&service, "respawn_loop", pid);
    service.stop_clean();
}

#[test]
fn a_process_that_forks_too_fast_is_a_storm_that_can_be_stopped_and_continued() {
    if setting::skip_in_vm("an emulated CPU on a busy host forks too slowly for a storm") {
        return;
    }
    let service = Service::start(&THRESHOLDS);
    let (acted, pid) = leaking("leak-storm");
    let leak = leak_of(&service, "fork_storm", pid);
    assert_eq!(leak["verdict"]["certainty"], "certain", "{leak:#}");
    assert_remedy(&leak, &[&format!("kill -STOP {pid}; kill -CONT {pid}; kill {pid}")]);
    remedy::run(&format!("kill -STOP {pid}"));
    until_over(&service, "fork_storm", pid);
    remedy::run(&format!("kill -CONT {pid}"));
    leak_of(&service, "fork_storm", pid);
    remedy::run(&format!("kill {pid}"));
    until_over(&service, "fork_storm", pid);
    ended_by(acted, 15);
    service.stop_clean();
}

#[test]
fn a_fork_bomb_is_a_storm_of_the_process_that_was_there_before() {
    if setting::skip_in_vm("an emulated CPU on a busy host forks too slowly for a storm") {
        return;
    }
    // The rate of forks is measured over a sixtieth of the window, and a bomb that has ended is reported for three sixtieths more.
    let service = Service::start(&["--leak-window", "60s", "--fork-storm", "50"]);
    // The first poll has nothing to compare with; there is one each second.
    wait::until("the daemon has observed for 3 s", || {
        service.json("/v1/leaks")["observed_ns"].as_u64() >= Some(3_000_000_000)
    });
    let mut acted = scenario("leak-bomb", &[]);
    acted.pause("leaking");
    let (bomb, parent) = (acted.facts().role("child").pid, acted.facts().role("scenario").pid);
    let leak = wait::until_some(format_args!("a storm of {bomb} or {parent} is reported"), || {
        leaks(&service).into_iter().find(|it| {
            it["kind"] == "fork_storm" && (it["process"]["pid"] == bomb || it["process"]["pid"] == parent)
        })
    });
    assert!(leak["verdict"]["evidence"].to_string().contains("fork bomb"), "{leak:#}");
    assert!(leak["alive"].as_u64() >= Some(100), "{leak:#}");
    acted.go();
    acted.finish();
    // In such a storm the kernel may skip programs, and the ring may be full.
    let (end, directory) = service.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
    // The directory is one for temporary files, so it may stay.
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn a_process_that_has_outlived_its_session_is_likely_left_behind() {
    let service = Service::start(&THRESHOLDS);
    let mut acted = scenario("leak-orphans", &[]);
    acted.pause("leaking");
    let facts = acted.facts().clone();
    let pid = facts.all("left").next().and_then(|it| it["pid"].as_i64()).unwrap_or(0);
    let leak = leak_of(&service, "living_orphans", pid);
    let verdict = &leak["verdict"];
    assert_eq!((&verdict["code"], &verdict["certainty"]), (&"outlives_session".into(), &"likely".into()));
    let job = facts.role("job").pid;
    assert!(verdict["summary"].as_str().unwrap().contains(&format!("(pid {job})")), "{verdict:#}");
    until_explained(&service, pid, "outlives_session");
    assert_remedy(&leak, &[&format!("kill {pid}")]);
    remedy::run(&format!("kill {pid}"));
    until_over(&service, "living_orphans", pid);
    acted.go();
    acted.finish();
    service.stop_clean();
}

#[test]
fn what_looks_like_a_leak_and_is_none_is_not_accused() {
    if setting::skip_in_vm("three leaks one after the other take too long on an emulated CPU") {
        return;
    }
    let service = Service::start(&THRESHOLDS);
    let events = service.events("?action=leak_flagged", "");
    let (mut working, mut daemons) = (scenario("leak-none", &[]), scenario("leak-daemons", &[]));
    working.pause("working");
    daemons.pause("working");
    // After that, the harmless scenarios have run for as long as it takes to find these leaks.
    for (name, kind) in [("leak-threads", "thread_leak"), ("leak-respawn", "respawn_loop")] {
        let (acted, pid) = leaking(name);
        leak_of(&service, kind, pid);
        remedy::run(&format!("kill {pid}"));
        until_over(&service, kind, pid);
        ended_by(acted, 15);
    }
    let mut orphans = scenario("leak-orphans", &[]);
    orphans.pause("leaking");
    let left = orphans.facts().all("left").next().and_then(|it| it["pid"].as_i64()).unwrap_or(0);
    leak_of(&service, "living_orphans", left);
    orphans.go();
    orphans.finish();
    let mut innocent: Vec<i64> = working.facts().roles().iter().map(|role| role.pid).collect();
    innocent.extend(daemons.facts().roles().iter().map(|role| role.pid));
    innocent.extend(daemons.facts().all("left").filter_map(|it| it["pid"].as_i64()));
    assert!(innocent.len() > 25, "{innocent:?}");
    working.go();
    working.finish();
    daemons.go();
    daemons.finish();
    service.stop_clean();
    let flagged: Vec<Value> =
        events.rest().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let pid_of = |event: &Value| event["process"]["pid"].as_i64().unwrap_or(0);
    let accused: Vec<_> = flagged.iter().filter(|event| innocent.contains(&pid_of(event))).collect();
    assert!(accused.is_empty(), "{accused:#?}");
    assert!(flagged.iter().any(|event| pid_of(event) == left), "{flagged:#?}");
}

#[test]
fn a_short_observation_is_as_short_as_asked_and_says_what_it_cannot_show() {
    let began = std::time::Instant::now();
    let mut command = std::process::Command::new(setting::taskscope());
    command.args(["leaks", "--alone", "--observe", "1s", "--format", "json", "--attach", &setting::attach()]);
    let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"));
    // Without --observe it takes 30 s.
    assert!(took < std::time::Duration::from_secs(25), "{took:?}");
    assert_eq!(answer["window_ns"], 1_000_000_000, "{answer:#}");
    let sentences: Vec<_> = answer["inconclusive"].as_array().into_iter().flatten().collect();
    assert!(
        sentences.iter().any(|it| it.as_str().is_some_and(|it| it.contains("observe for 30 s"))),
        "{answer:#}"
    );
    let certain = answer["leaks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|leak| leak["verdict"]["certainty"] == "certain");
    assert_eq!(certain.count(), 0, "{answer:#}");
}
