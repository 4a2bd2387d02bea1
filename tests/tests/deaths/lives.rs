//! Records of lives, compared with wait4(2) and /proc.

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    time::Instant,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    facts::{Facts, numbers},
    proc,
    scenario::Scenario,
    schema,
    service::Service,
    setting::{self, deadline, report},
    skipped::attempts,
    wait,
};

/// Parses records, one per line.
fn records(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Returns what `taskscope` prints to standard output.
#[track_caller]
fn printed(service: &Service, args: &[&str]) -> String {
    let output = Command::new(setting::taskscope())
        .args(args)
        .arg("--socket")
        .arg(service.socket())
        .output()
        .unwrap_or_else(|error| panic!("starting taskscope: {error}"));
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// Waits until the lives of these pids are reported, and returns them by pid.
#[track_caller]
fn reported(service: &Service, pids: &BTreeSet<i64>, parent: i64) -> BTreeMap<i64, Value> {
    wait::until_ok(|| {
        let all = records(&printed(service, &["lives"]));
        let ours = all.into_iter().filter(|life| life["process"]["parent_pid"] == parent);
        let lives: BTreeMap<_, _> = ours
            .filter_map(|life| Some((life["process"]["pid"].as_i64()?, life)))
            .filter(|(pid, _)| pids.contains(pid))
            .collect();
        if lives.len() == pids.len() {
            return Ok(lives);
        }
        Err(format!("{} of {} lives are reported", lives.len(), pids.len()))
    })
}

/// Runs `usage` with `count` children until its waits are over; `None` if that is not allowed here.
fn reaped(count: &str) -> Option<Scenario> {
    let mut scenario = scenario("usage", &[count]);
    scenario.pause_or_skip("counted").then_some(scenario)
}

/// Returns what wait4(2) returned: pid, CPU time in us, minor faults.
fn rusages(facts: &Facts) -> BTreeMap<i64, (i64, i64)> {
    let fact = facts.all("rusages").next().unwrap_or_else(|| panic!("the scenario has no rusages"));
    let list = |key: &str| numbers(&fact[key]);
    let (pids, user, system, minor) = (list("pids"), list("user_us"), list("system_us"), list("minor"));
    let of = |n: usize| (pids[n], (user[n] + system[n], minor[n]));
    (0..pids.len()).map(of).collect()
}

/// Returns CPU time in us and minor faults of a life, including the children that it waited for.
fn used(life: &Value) -> (i64, i64) {
    let of = |usage: &Value| {
        let number = |key: &str| usage[key].as_i64().unwrap_or(0);
        (number("user_ns") + number("system_ns"), number("minor_faults"))
    };
    let (own, children) = (of(&life["usage"]), of(&life["children_usage"]["reaped"]));
    ((own.0 + children.0) / 1000, own.1 + children.1)
}

#[test]
fn a_life_has_what_wait_reported() {
    attempts(|| {
        let service = Service::start(&[]);
        let Some(mut scenario) = reaped(if setting::in_vm() { "200" } else { "1000" }) else { return };
        let expected = rusages(scenario.facts());
        let me = scenario.facts().role("scenario").pid;
        let lives = reported(&service, &expected.keys().copied().collect(), me);
        let mut wrong = Vec::new();
        for (pid, life) in &lives {
            assert_eq!(life["life_version"], 1, "{life:#}");
            assert_eq!(life["process"]["exit"]["status"], 0, "{life:#}");
            assert_eq!(life["death"]["cause"], "exited", "{life:#}");
            assert_eq!(life["end"], "reaped", "{life:#}");
            assert_eq!(life["reaper"]["pid"], me, "{life:#}");
            assert_eq!(life["reaper"]["kind"], "parent", "{life:#}");
            assert_eq!(life["provenance"], "observed", "{life:#}");
            let [start, ended, gone] = ["start_boottime_ns", "ended_boottime_ns", "boottime_ns"]
                .map(|key| life[key].as_u64().unwrap_or_else(|| panic!("no {key}: {life:#}")));
            assert!(start < ended && ended <= gone, "{life:#}");
            let id = life["process"]["entity_id"].as_str().unwrap_or_default();
            assert!(id.ends_with(&format!("-{pid}-{start}")), "{life:#}");
            // wait4(2) rounds user time and system time down separately.
            let ((reported_us, reported_minor), (waited_us, waited_minor)) = (used(life), expected[pid]);
            if reported_minor != waited_minor || !(0..=3).contains(&(reported_us - waited_us)) {
                wrong.push((*pid, used(life), expected[pid]));
            }
        }
        report("lives_held_against_wait4", lives.len());
        assert!(
            wrong.is_empty(),
            "{} differ (pid, reported, waited): {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

#[test]
fn a_life_has_its_program_threads_signal_and_reaper() {
    if !std::path::Path::new("/bin/sh").exists() {
        return setting::skip(format_args!("there is no /bin/sh"));
    }
    let service = Service::start(&[]);
    let mut child = Command::new("sh")
        .args(["-c", "exec sleep 1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("starting sh: {error}"));
    let pid = i64::from(child.id());
    wait::until("/proc shows its second program", || proc::name(pid) == "sleep");
    child.kill().unwrap_or_else(|error| panic!("killing it: {error}"));
    let status = std::os::unix::process::ExitStatusExt::into_raw(
        child.wait().unwrap_or_else(|error| panic!("waiting: {error}")),
    );
    let me = i64::from(std::process::id());
    let life = reported(&service, &BTreeSet::from([pid]), me).remove(&pid).unwrap_or_default();
    assert_eq!(life["process"]["exit"]["status"], status, "{life:#}");
    assert_eq!(life["process"]["name"], "sleep", "{life:#}");
    assert_eq!(life["execs"], 2, "{life:#}");
    let program = life["process"]["executable"]["path"].as_str().unwrap_or_default();
    assert!(
        program.contains("sleep") || program.contains("coreutils") || program.contains("busybox"),
        "{life:#}"
    );
    assert_eq!(life["death"]["cause"], "killed", "{life:#}");
    assert_eq!(life["death"]["signal"]["sender"]["process"]["pid"], me, "{life:#}");
    assert_eq!(life["reaper"]["pid"], me, "{life:#}");
    service.stop_clean();
}

#[test]
fn filters_choose_lives_and_a_wrong_one_is_refused_by_name() {
    let service = Service::start(&[]);
    let facts = scenario("burst", &["20"]).finish();
    let me = facts.role("scenario").pid;
    let name = "scenario";
    wait::until("the lives of the burst are reported", || {
        records(&printed(&service, &["lives", "--comm", "scen*"])).len() >= 20
    });
    for life in records(&printed(&service, &["lives", "--comm", "scen*", "--since", "1h"])) {
        assert_eq!(life["process"]["name"], name, "{life:#}");
    }
    assert_eq!(records(&printed(&service, &["lives", "--limit", "7"])).len(), 7);
    assert_eq!(records(&printed(&service, &["lives", "--cause", "oom"])).len(), 0);
    let own = records(&printed(&service, &["lives", "--pid", &me.to_string()]));
    assert!(own.iter().all(|life| life["process"]["pid"] == me), "{own:#?}");
    for wrong in ["cause=nothing", "pid=x", "action=reaped", "since=soon"] {
        let answer = service.get_local(&format!("/v1/lives?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    let answer = service.get_local("/v1/lives?limit=0");
    assert!(answer.head.contains("taskscope-known-since: 20"), "{answer:?}");
    service.stop_clean();
}

#[test]
fn a_stream_of_lives_has_one_line_for_each_process_that_ends() {
    const COUNT: usize = 100;
    let service = Service::start(&[]);
    let mut lines = service.events("?format=life&comm=scenario", "");
    let me = scenario("burst", &[&COUNT.to_string()]).finish().role("scenario").pid;
    let mut pids = BTreeSet::new();
    let end = Instant::now() + deadline();
    while pids.len() < COUNT {
        assert!(Instant::now() < end, "{} lives came", pids.len());
        let life = lines.next_json();
        if life["process"]["parent_pid"] == me {
            assert!(pids.insert(life["process"]["pid"].as_i64()), "twice: {life:#}");
            assert_eq!(life["life_version"], 1, "{life:#}");
        }
    }
    assert_eq!(pids.len(), COUNT);
    drop(lines);
    service.stop_clean();
}

/// Checks lines by a schema with a validator of another project.
const VALIDATE: &str = "\
import json, sys, jsonschema_rs
check = jsonschema_rs.validator_for(json.load(open(sys.argv[1])))
count = 0
for line in sys.stdin:
    check.validate(json.loads(line))
    count += 1
print(count)";

#[test]
fn every_life_conforms_to_its_schema() {
    let Some(python) = schema::validator() else { return };
    let service = Service::start(&[]);
    scenario("usage", &["50"]).until(&["pause", "skip"]);
    scenario("death-killed", &[]).finish();
    let path = service.directory().join("schema.json");
    schema::print("lives", &path);
    // A release is reported an RCU grace period late.
    let end = Instant::now() + setting::deadline();
    let lives = loop {
        let lives = printed(&service, &["lives"]);
        if lives.lines().count() > 50 || Instant::now() > end {
            break lives;
        }
        std::thread::yield_now();
    };
    let counted = schema::check(python, VALIDATE, &path, &lives);
    let count: usize = counted.trim().parse().unwrap_or(0);
    assert!(count >= 50, "{count} lives were checked");
    service.stop_clean();
}
