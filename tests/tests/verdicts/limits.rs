//! Full limits on pids and the processes that fill them, compared with the error of a fork.

#[path = "../common/mod.rs"]
mod common;

use std::{fs, process::Command};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{cgroup::Cgroup, remedy, scenario::Scenario, service::Service, setting, verdict::says};

const USER: &str = "61237";

/// Runs taskscope without a daemon.
#[track_caller]
fn json(args: &[&str]) -> Value {
    let mut command = Command::new(setting::taskscope());
    let output = command.args(args).args(["--format", "json", "--alone"]).output();
    let output = output.unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: {error}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Returns the first limit of this kind in an answer that is full.
#[track_caller]
fn full<'a>(limits: &'a Value, kind: &str, name: &str) -> &'a Value {
    let all = limits.as_array().into_iter().flatten();
    let mut of_kind = all.filter(|limit| limit["kind"] == kind && limit["full"] == true);
    let found = of_kind.find(|limit| name.is_empty() || limit["name"] == name);
    found.unwrap_or_else(|| panic!("no full {kind} {name} in {limits:#}"))
}

#[track_caller]
fn refused(scenario: &Scenario, errno: i32) -> Value {
    let fact = scenario.facts().all("refused").next().cloned().unwrap_or_default();
    assert_eq!(fact["errno"], errno, "{}", scenario.facts());
    fact
}

/// Whether this process has `CAP_SYS_RESOURCE`.
fn has_sys_resource() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & (1 << 24) != 0)
}

/// After the remedy, a fork succeeds.
#[track_caller]
fn forks_again(mut scenario: Scenario) {
    scenario.go();
    let facts = scenario.finish();
    let retried = facts.all("retried").next().cloned().unwrap_or_default();
    assert_eq!(retried["errno"], 0, "{facts}");
}

#[test]
fn a_full_cgroup_is_named_with_the_zombies_that_fill_it() {
    let Some(cgroup) = Cgroup::with_pids_limit(&format!("taskscope-limits-{}", std::process::id()), 20)
    else {
        return;
    };
    let service = Service::start(&[]);
    let before = service.metrics();
    let mut failed = service.events("?action=clone_failed&limit=1", "");
    let directory = cgroup.path().display().to_string();
    let mut scenario = scenario("zombies-to-the-limit", &[&directory, "retry"]);
    scenario.pause("full");
    let children = refused(&scenario, libc::EAGAIN)["children"].clone();
    let pid = scenario.facts().role("scenario").pid;
    let name = format!("/{}", cgroup.path().file_name().unwrap().to_string_lossy());
    let oracle: u64 = fs::read_to_string(cgroup.path().join("pids.current")).unwrap().trim().parse().unwrap();
    let explained = json(&["explain", &pid.to_string()]);
    let zombies = json(&["zombies"]);
    let daemon = service.json(&format!("/v1/explain/{pid}"));
    for limits in [
        &explained["limits"],
        &json(&["limits"])["limits"],
        &json(&["limits", &pid.to_string()])["limits"],
        &zombies["full_limits"],
        &daemon["limits"],
        &service.json("/v1/limits")["limits"],
    ] {
        let limit = full(limits, "cgroup", &name);
        assert_eq!((&limit["used"], &limit["limit"]), (&oracle.into(), &20.into()), "{limit:#}");
        assert_eq!(limit["zombies"], children, "{limit:#}");
        assert_eq!(limit["consumers"][0]["zombies"], children, "{limit:#}");
        assert_eq!(limit["consumers"][0]["parent"]["pid"], pid, "{limit:#}");
        assert_eq!(limit["errno"], "EAGAIN", "{limit:#}");
        assert!(limit["refused"].as_u64().is_some_and(|refused| refused > 0), "{limit:#}");
    }
    for verdict in [&explained["verdict"], &daemon["verdict"]] {
        let text = format!("pids.max of the cgroup {name}");
        assert!(verdict["summary"].as_str().is_some_and(|summary| summary.contains(&text)), "{verdict:#}");
    }
    // With every rung, the kernel's own count of refused forks rises, and the usage is compared with the limit.
    let refused = "taskscope_pids_refused_forks_total{scope=\"cgroup\"}";
    let samples = service.until("the refused forks are counted", |now| {
        now.get(refused).is_some_and(|count| *count > before[refused])
    });
    let of_cgroup =
        |family: &str| samples.get(&format!("{family}{{name=\"{name}\",scope=\"cgroup\"}}")).copied();
    assert_eq!(of_cgroup("taskscope_pids_used"), of_cgroup("taskscope_pids_limit"), "{samples:#?}");
    assert!(of_cgroup("taskscope_pids_limit").is_some(), "{samples:#?}");
    let failures = "taskscope_clone_failures_total{errno=\"EAGAIN\"}";
    let status = service.json("/v1/status");
    let has_metric =
        !status["hooks"]["copy_process"].as_str().is_some_and(|rung| rung.contains("task_newtask"));
    assert_eq!(samples.contains_key(failures), has_metric, "{status:#}");
    if has_metric {
        assert!(samples[failures] > before[failures], "{samples:#?}");
        let event = failed.next_json();
        let by = &event["task"]["refused_by"];
        assert_eq!((&by["kind"], &by["name"]), (&"cgroup".into(), &name.as_str().into()), "{event:#}");
        assert_eq!((&by["used"], &by["limit"]), (&20.into(), &20.into()), "{event:#}");
    }
    // The remedy.
    assert!(says(&explained["verdict"], "remedy", &format!("larger number to pids.max of {name}")));
    fs::write(cgroup.path().join("pids.max"), "40").unwrap_or_else(|error| panic!("{error}"));
    forks_again(scenario);
    service.stop_clean();
}

#[test]
fn a_user_that_has_all_its_processes_is_named() {
    let service = Service::start(&[]);
    let mut failed = service.events("?action=clone_failed&limit=1", "");
    let mut scenario = scenario("threads-to-the-limit", &["20", USER]);
    scenario.pause("full");
    let hooks = &service.json("/v1/status")["hooks"];
    if !hooks["copy_process"].as_str().is_some_and(|rung| rung.contains("task_newtask")) {
        let event = failed.next_json();
        let by = &event["task"]["refused_by"];
        assert_eq!((&by["kind"], &by["name"]), (&"rlimit_nproc".into(), &USER.into()), "{event:#}");
        assert_eq!(by["limit"], 20, "{event:#}");
    }
    let threads = refused(&scenario, libc::EAGAIN)["threads"].as_u64().unwrap_or_default();
    let owner = scenario.facts().role("owner").pid;
    let explained = json(&["explain", &owner.to_string()]);
    for limits in [&explained["limits"], &json(&["limits"])["limits"]] {
        let limit = full(limits, "rlimit_nproc", USER);
        assert_eq!((&limit["used"], &limit["limit"]), (&20.into(), &20.into()), "{limit:#}");
        assert_eq!(limit["consumers"][0]["tasks"], threads + 1, "{limit:#}");
        assert_eq!(limit["consumers"][0]["pid"], owner, "{limit:#}");
    }
    assert_eq!(explained["verdict"]["code"], "cannot_fork", "{explained:#}");
    let summary = explained["verdict"]["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("RLIMIT_NPROC") && summary.contains("20 of 20"), "{explained:#}");
    let command = format!("prlimit --pid {owner} --nproc=N");
    assert!(says(&explained["verdict"], "remedy", &command), "{explained:#}");
    if !has_sys_resource() {
        setting::skip(format_args!("root has no CAP_SYS_RESOURCE here, so it cannot set limits of others"));
        scenario.go();
        scenario.finish();
        return;
    }
    remedy::run(&command.replace("=N", "=40"));
    forks_again(scenario);
}

#[test]
fn a_pid_namespace_without_an_init_is_distinguished_from_a_full_limit() {
    let mut scenario = scenario("dead-namespace", &[]);
    scenario.pause("full");
    refused(&scenario, libc::ENOMEM);
    let explained = json(&["explain", &scenario.facts().role("owner").pid.to_string()]);
    assert_eq!(full(&explained["limits"], "pid_namespace", "")["errno"], "ENOMEM", "{explained:#}");
    let verdict = &explained["verdict"];
    assert_eq!(verdict["code"], "cannot_fork", "{verdict:#}");
    assert!(verdict["summary"].as_str().is_some_and(|text| text.contains("init has ended")), "{verdict:#}");
    scenario.go();
    scenario.finish();
}

/// Only a process inside of the namespace can read that limit, and while it is full no process can be started there to read it.
#[test]
fn a_full_pid_max_of_a_pid_namespace_is_inferred_when_no_other_limit_is_full() {
    let service = Service::start(&[]);
    let mut scenario = scenario("full-namespace", &[]);
    if scenario.pause_or_skip("full") {
        refused(&scenario, libc::EAGAIN);
        let pid = scenario.facts().role("owner").pid;
        let hooks = &service.json("/v1/status")["hooks"];
        let reports = !hooks["copy_process"].as_str().is_some_and(|rung| rung.contains("task_newtask"));
        let asked = Command::new(setting::taskscope())
            .args(["explain", "--format", "json", &pid.to_string(), "--socket"])
            .arg(service.socket())
            .output()
            .unwrap_or_else(|error| panic!("{error}"));
        let client: Value = serde_json::from_slice(&asked.stdout).unwrap_or_else(|error| panic!("{error}"));
        for explained in [service.json(&format!("/v1/explain/{pid}")), client] {
            let verdict = &explained["verdict"];
            assert!(verdict["missing"].to_string().contains("kernel.pid_max"), "{explained:#}");
            if reports {
                assert_eq!(verdict["code"], "cannot_fork", "{explained:#}");
                assert_eq!(verdict["certainty"], "likely", "{explained:#}");
                assert!(
                    verdict["summary"].as_str().is_some_and(|text| text.contains("pid_max")),
                    "{verdict:#}"
                );
                assert_eq!(explained["fork_failures"]["unexplained"], true, "{explained:#}");
                assert!(says(verdict, "remedy", "`echo N >/proc/sys/kernel/pid_max`"), "{verdict:#}");
            } else {
                // Without a hook that reports failed forks, the verdict names the missing fact.
                assert_eq!(verdict["code"], "alive", "{explained:#}");
            }
        }
        // The scenario applies the remedy of the verdict.
        forks_again(scenario);
    }
    service.stop_clean();
}

#[test]
fn a_process_that_can_fork_is_not_reported_as_unable_to() {
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let pid = scenario.facts().role("scenario").pid.to_string();
    let explained = json(&["explain", &pid]);
    assert_ne!(explained["verdict"]["code"], "cannot_fork", "{explained:#}");
    let limits = json(&["limits", &pid]);
    let full = |limit: &Value| limit["full"] == true;
    assert!(!limits["limits"].as_array().is_some_and(|limits| limits.iter().any(full)), "{limits:#}");
    assert!(limits["limits"].as_array().is_some_and(|limits| limits.len() >= 2), "{limits:#}");
    scenario.go();
    scenario.finish();
}
