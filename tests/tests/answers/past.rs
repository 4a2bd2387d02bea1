//! Questions that reach further back than the daemon's memory, compared with what the scenario's waits returned and with the
//! lines that zstd(1) reads from the segments.

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    facts::numbers,
    history::History,
    service::Service,
    setting::{self, deadline, report},
};

/// Arguments of a daemon whose memory holds 64 ended processes.
const FORGETFUL: [&str; 2] = ["--dead-lives", "64"];

/// Runs `taskscope` and returns its output, whose exit code is 0.
#[track_caller]
fn run(args: &[&str]) -> Output {
    let output = Command::new(setting::taskscope()).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("starting taskscope: {error}"));
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn records(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[track_caller]
fn asked(service: &Service, args: &[&str]) -> Output {
    let socket = service.socket();
    run(&[args, &["--socket", socket.to_str().unwrap_or_default()]].concat())
}

/// A process that is killed and waited for at the end.
struct Spawned(Child);

impl Spawned {
    #[track_caller]
    fn new(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}")))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, and waits until it has ended.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How often each child of a parent is in an answer.
fn children(lives: &[Value], parent: i64) -> BTreeMap<i64, u32> {
    let mut counts = BTreeMap::new();
    for life in lives.iter().filter(|life| life["process"]["parent_pid"] == parent) {
        *counts.entry(life["process"]["pid"].as_i64().unwrap_or(0)).or_default() += 1;
    }
    counts
}

/// Runs `usage` with `count` children; returns its pid and theirs once all are reaped.
fn waited(count: usize) -> Option<(i64, BTreeSet<i64>)> {
    let mut scenario = scenario("usage", &[&count.to_string()]);
    if scenario.until(&["pause", "skip"])["fact"] != "pause" {
        println!("SKIP: {:?}", scenario.finish_or_skip());
        return None;
    }
    let pids = scenario.facts().all("rusages").next().map(|fact| numbers(&fact["pids"])).unwrap_or_default();
    let me = scenario.facts().role("scenario").pid;
    scenario.go();
    scenario.finish();
    Some((me, pids.into_iter().collect()))
}

fn in_vm() -> bool {
    let in_vm = setting::in_vm();
    if in_vm {
        setting::skip("a guest has no zstd(1), and files do not depend on the kernel");
    }
    in_vm
}

#[test]
fn each_life_is_in_the_answer_once_where_memory_and_history_meet() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let Some((me, pids)) = waited(500) else { return };
    // The record of the last release may be on its way.
    let end = Instant::now() + deadline();
    let mut asked_so_often = 0;
    loop {
        let output = asked(&service, &["lives", "--since", "1h"]);
        asked_so_often += 1;
        let found = children(&records(&output), me);
        assert!(found.values().all(|&count| count == 1), "twice in one answer: {found:?}");
        if found.keys().copied().collect::<BTreeSet<_>>() == pids {
            break;
        }
        assert!(Instant::now() < end, "{} of {} lives are in the answer", found.len(), pids.len());
    }
    // Memory alone has few.
    let memory = children(&records(&asked(&service, &["lives"])), me);
    assert!(memory.len() <= 64, "{}", memory.len());
    // Each answer to a narrower question is a part of that.
    let some: Vec<i64> = pids.iter().copied().step_by(100).collect();
    for pid in &some {
        let found = records(&asked(&service, &["lives", "--since", "1h", "--pid", &pid.to_string()]));
        assert_eq!(children(&found, me), BTreeMap::from([(*pid, 1)]));
    }
    let limited = records(&asked(&service, &["lives", "--since", "1h", "--limit", "7"]));
    assert_eq!(limited.len(), 7);
    assert!(records(&asked(&service, &["lives", "--since", "1h", "--limit", "0"])).is_empty());
    report("past_lives_asked", asked_so_often);
    service.stop_clean();
    // The directory alone says the same, line by line, as zstd(1) does.
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let own = String::from_utf8(run(&["lives", "--from", path]).stdout).unwrap_or_default();
    assert_eq!(own.lines().collect::<Vec<_>>(), directory.lines("lives"));
}

#[test]
fn lives_that_end_while_a_slow_client_reads_are_not_lost_from_an_answer() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let Some((me, pids)) = waited(1000) else { return };
    let end = Instant::now() + deadline();
    while children(&records(&asked(&service, &["lives", "--since", "1h"])), me).len() < pids.len() {
        assert!(Instant::now() < end, "the lives are not reported");
    }
    let mut storm = Spawned::new(Command::new("sh").args(["-c", "while :; do /bin/true; done"]));
    let answers: Vec<_> = (0..5).map(|_| records(&asked(&service, &["lives", "--since", "1h"]))).collect();
    storm.kill();
    for lives in answers {
        let found = children(&lives, me);
        assert_eq!(found.len(), pids.len());
        let ids: BTreeSet<_> = lives.iter().map(|life| life["process"]["entity_id"].to_string()).collect();
        assert_eq!(ids.len(), lives.len(), "a life is there twice");
        // Those of the storm, too, without a hole: each that ended before the last one of them that is there.
        let storm_pids = children(&lives, i64::from(storm.id()));
        assert!(storm_pids.values().all(|&count| count == 1));
    }
    service.stop_clean();
}

#[test]
fn deaths_of_an_earlier_daemon_are_listed_with_the_gap_between_the_two() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let killed = killed_sleep(&service);
    service.stop_clean();
    let service = directory.start(&FORGETFUL);
    let again = killed_sleep(&service);
    let output = asked(&service, &["deaths", "--since", "1h", "--cause", "killed", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"));
    let deaths: Vec<_> = answer["deaths"].as_array().into_iter().flatten().collect();
    let of = |pid: i64| deaths.iter().filter(|death| death["process"]["pid"] == pid).count();
    assert_eq!((of(killed), of(again)), (1, 1), "{answer:#}");
    let position = |pid: i64| deaths.iter().position(|death| death["process"]["pid"] == pid);
    assert!(position(again) < position(killed), "the latest is not first: {answer:#}");
    let old = deaths.iter().find(|death| death["process"]["pid"] == killed).unwrap_or_else(|| panic!());
    let summary = old["summary"].as_str().unwrap_or_default();
    assert!(summary.starts_with("killed by SIGKILL from "), "{summary}");
    let gaps: Vec<_> = answer["history"]["gaps"].as_array().into_iter().flatten().collect();
    let between = gaps.iter().filter(|gap| gap["place"] == "not_running" && gap["from"].is_string());
    assert_eq!(between.count(), 1, "{answer:#}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no taskscope wrote history"), "{said}");
    service.stop_clean();
    // The same from the directory, without a daemon.
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let args = ["deaths", "--from", path, "--cause", "killed", "--format", "json"];
    let alone: Value = serde_json::from_slice(&run(&args).stdout).unwrap_or_else(|error| panic!("{error}"));
    let pids: Vec<_> = alone["deaths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|death| death["process"]["pid"].as_i64())
        .collect();
    assert!(pids.contains(&killed) && pids.contains(&again), "{alone:#}");
    let text = String::from_utf8_lossy(&run(&["deaths", "--from", path]).stdout).into_owned();
    assert!(text.contains(&format!("(pid {killed})")), "{text}");
}

/// Kills a process by SIGKILL; returns its pid once the daemon knows its end.
fn killed_sleep(service: &Service) -> i64 {
    let mut child =
        Command::new("sleep").arg("1000").spawn().unwrap_or_else(|error| panic!("starting sleep: {error}"));
    let pid = i64::from(child.id());
    child.kill().unwrap_or_else(|error| panic!("{error}"));
    let _ = child.wait();
    let end = Instant::now() + deadline();
    // The history has it longer than the memory, which others' lives fill.
    while records(&asked(service, &["lives", "--since", "1h", "--pid", &pid.to_string()])).is_empty() {
        assert!(Instant::now() < end, "the end of {pid} is not reported");
    }
    pid
}

#[test]
fn a_directory_that_is_no_history_is_an_error_by_name() {
    let directory = History::new();
    for (path, what) in
        [(Path::new("/proc/version"), "reading the directory"), (directory.above(), "no segment")]
    {
        for command in ["lives", "deaths"] {
            let output = Command::new(setting::taskscope())
                .args([command, "--from"])
                .arg(path)
                .output()
                .unwrap_or_else(|error| panic!("starting taskscope: {error}"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(what) && said.contains(&path.display().to_string()), "{said}");
        }
    }
}

/// Now, as RFC 3339 in UTC, by date(1).
fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output();
    let output = output.unwrap_or_else(|error| panic!("starting date: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_tree_and_a_process_of_a_time_before_this_daemon_are_told_from_the_history() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let mut shell = Spawned::new(Command::new("sh").args(["-c", "sleep 1000 & wait"]));
    let (parent, me) = (i64::from(shell.id()), i64::from(std::process::id()));
    // Its child runs its program once /proc says so.
    let children = format!("/proc/{parent}/task/{parent}/children");
    let end = Instant::now() + deadline();
    let child = loop {
        assert!(Instant::now() < end, "sh has no child");
        let text = fs::read_to_string(&children).unwrap_or_default();
        let Some(pid) = text.split_whitespace().next().and_then(|pid| pid.parse::<i64>().ok()) else {
            continue;
        };
        if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n") {
            break pid;
        }
    };
    // A millisecond of its own.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let then = now();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let killed = Command::new("kill").args(["-TERM", &child.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let _ = shell.0.wait();
    let end = Instant::now() + deadline();
    while service.get_local(&format!("/v1/lives?pid={parent}")).body.is_empty() {
        assert!(Instant::now() < end, "the end of {parent} is not reported");
    }
    service.stop_clean();
    let service = directory.start(&FORGETFUL);
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let json = |output: Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"))
    };
    let daemon = |args: &[&str]| json(asked(&service, args));
    let from = |args: &[&str]| json(run(&[args, &["--from", path]].concat()));
    for tree in [
        daemon(&["tree", "--at", &then, "--format", "json"]),
        from(&["tree", "--at", &then, "--format", "json"]),
    ] {
        let of = |pid: i64| {
            let all: Vec<_> = tree["processes"].as_array().into_iter().flatten().collect();
            let found: Vec<_> = all.into_iter().filter(|node| node["pid"] == pid).collect();
            assert!(found.len() <= 1, "{pid} is there twice");
            found.first().copied().cloned().unwrap_or(Value::Null)
        };
        let (sh, sleep) = (of(parent), of(child));
        assert_eq!(
            (sh["parent_pid"].as_i64(), sleep["parent_pid"].as_i64()),
            (Some(me), Some(parent)),
            "{tree:#}"
        );
        assert_eq!(sleep["name"], "sleep");
        assert_eq!(sleep["depth"].as_u64(), sh["depth"].as_u64().map(|depth| depth + 1));
        assert!(tree["history"]["known_since"].is_string(), "{:#}", tree["history"]);
    }
    let below = daemon(&["tree", &parent.to_string(), "--at", &then, "--format", "json"]);
    assert_eq!(below["processes"].as_array().map(Vec::len), Some(2), "{below:#}");
    let of_pid = ["explain", &child.to_string(), "--at", &then, "--format", "json"].map(str::to_owned);
    let of_pid: Vec<&str> = of_pid.iter().map(String::as_str).collect();
    for (past, knows_present) in [(daemon(&of_pid), true), (from(&of_pid), false)] {
        let process = &past["processes"][0];
        assert_eq!(process["process"]["name"], "sleep", "{past:#}");
        assert_eq!(process["life"]["death"]["cause"], "killed", "{past:#}");
        let ancestors: Vec<_> = process["ancestors"].as_array().into_iter().flatten().collect();
        let states: Vec<_> = ancestors.iter().filter_map(|it| it["state"].as_str()).collect();
        assert_eq!((ancestors[0]["pid"].as_i64(), states[0]), (Some(parent), "ended"), "{past:#}");
        let ours = if knows_present { "running" } else { "unknown" };
        assert_eq!((ancestors[1]["pid"].as_i64(), states[1]), (Some(me), ours), "{past:#}");
        if knows_present {
            assert!(ancestors.last().is_some_and(|last| last["pid"] == 1), "{past:#}");
        }
    }
    let text = asked(&service, &["explain", &child.to_string(), "--at", &then]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("killed by SIGTERM from kill"), "{text}");
    // A name of that time selects it too, and the present process of a pid says that it is there.
    let named = daemon(&["explain", "sleep", "--at", &then, "--format", "json"]);
    let pids: Vec<_> =
        named["processes"].as_array().into_iter().flatten().map(|it| &it["process"]["pid"]).collect();
    assert!(pids.contains(&&Value::from(child)), "{named:#}");
    let present = asked(&service, &["explain", &me.to_string(), "--at", &then]).stdout;
    assert!(String::from_utf8_lossy(&present).contains("it still exists"));
    service.stop_clean();
}

#[test]
fn a_difference_has_what_began_ended_and_moved_between_two_times() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let me = std::process::id().to_string();
    // One that ends in between, and one below a shell that ends first.
    let mut ends = Spawned::new(Command::new("sleep").arg("1000"));
    let mut shell = Spawned::new(
        Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    let mut line = String::new();
    let stdout = shell.0.stdout.take().unwrap_or_else(|| panic!("no output"));
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
        .unwrap_or_else(|error| panic!("{error}"));
    let orphan: i64 = line.trim().parse().unwrap_or_else(|error| panic!("{error}: {line}"));
    std::thread::sleep(std::time::Duration::from_millis(5));
    let first = now();
    std::thread::sleep(std::time::Duration::from_millis(5));
    ends.kill();
    let begins = Spawned::new(Command::new("sleep").arg("1000"));
    // More than memory holds.
    let Some((storm, pids)) = waited(300) else { return };
    drop(shell.0.stdin.take());
    let _ = shell.0.wait();
    let end = Instant::now() + deadline();
    while service.get_local(&format!("/v1/lives?pid={}", shell.id())).body.is_empty() {
        assert!(Instant::now() < end, "the end of the shell is not reported");
    }
    let output = asked(&service, &["diff", &first, "now", "--format", "json"]);
    let of_me = asked(&service, &["diff", &first, "now", &me, "--format", "json"]);
    let text = asked(&service, &["diff", &first, "now"]).stdout;
    let answer = |output: &Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"))
    };
    let (all, own) = (answer(&output), answer(&of_me));
    let pids_of = |answer: &Value, key: &str| -> BTreeSet<i64> {
        let list = answer[key].as_array().into_iter().flatten();
        list.filter_map(|it| it["process"]["pid"].as_i64()).collect()
    };
    let (begun, ended) = (i64::from(begins.id()), i64::from(ends.id()));
    for difference in [&all, &own] {
        assert!(pids_of(difference, "new").contains(&begun), "{difference:#}");
        assert!(
            pids_of(difference, "gone").is_superset(&[ended, i64::from(shell.id())].into()),
            "{difference:#}"
        );
        assert!(difference["came_and_went"].as_u64() >= Some(301), "{difference:#}");
        let used: Vec<_> = difference["used"].as_array().into_iter().flatten().collect();
        let scenario = used.iter().find(|used| used["name"] == "scenario");
        assert!(scenario.is_some_and(|used| used["processes"].as_u64() >= Some(301)), "{used:#?}");
    }
    assert!(pids_of(&all, "moved").contains(&orphan), "{all:#}");
    let gone = all["gone"].as_array().into_iter().flatten().find(|it| it["process"]["pid"] == ended);
    assert_eq!(gone.map(|gone| &gone["death"]["cause"]), Some(&Value::from("killed")), "{all:#}");
    assert!(!pids_of(&all, "new").contains(&storm) && pids.len() == 300);
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains(&format!("sleep (pid {begun})")), "{text}");
    let _ = Command::new("kill").arg(orphan.to_string()).status();
    drop(begins);
    service.stop_clean();
    // From the directory: what still exists is not there, and all that has ended is.
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let alone = answer(&run(&["diff", &first, "now", "--from", path, "--format", "json"]));
    assert!(pids_of(&alone, "gone").contains(&ended), "{alone:#}");
    assert!(alone["came_and_went"].as_u64() >= Some(301), "{alone:#}");
}

/// The zombies that /proc shows of a parent.
fn zombies_of(parent: i64) -> BTreeSet<i64> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
    let is_zombie = |pid: &i64| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        fields.next() == Some("Z") && fields.next().and_then(|field| field.parse().ok()) == Some(parent)
    };
    pids.filter(is_zombie).collect()
}

/// The zombies of a parent in an answer of `zombies --at`.
fn named_zombies(answer: &Value, parent: i64) -> BTreeSet<i64> {
    let parents = answer["parents"].as_array().into_iter().flatten();
    let own = parents.filter(|it| it["pid"] == parent);
    let zombies = own.flat_map(|it| it["zombies"].as_array().into_iter().flatten());
    zombies.filter_map(|zombie| zombie["pid"].as_i64()).collect()
}

#[test]
fn zombies_of_a_past_time_are_those_that_proc_showed_then() {
    if in_vm() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let mut held = scenario("never-waits", &[]);
    held.pause("owed");
    let parent = held.facts().role("parent").pid;
    let seen = zombies_of(parent);
    assert!(!seen.is_empty(), "{parent} owes no wait");
    // The daemon has the last of their ends.
    let end = Instant::now() + deadline();
    while named_zombies(&service.json("/v1/zombies?at=0ms"), parent) != seen {
        assert!(Instant::now() < end, "{}", service.json("/v1/zombies?at=0ms"));
    }
    // Tracepoints report a release an RCU grace period late; a zombie that no poll has seen may have been reaped at once.
    let is_old = |found: &Value| {
        found["process"]["pid"].as_i64() == Some(parent)
            && found["zombie_at_least_ns"].as_u64() > Some(300_000_000)
    };
    while !service.json("/v1/zombies")["parents"].as_array().is_some_and(|all| all.iter().any(is_old)) {
        assert!(Instant::now() < end, "{}", service.json("/v1/zombies"));
    }
    let then = now();
    std::thread::sleep(std::time::Duration::from_millis(5));
    held.go();
    held.finish();
    let end = Instant::now() + deadline();
    while seen.iter().any(|pid| service.get_local(&format!("/v1/lives?pid={pid}")).body.is_empty()) {
        assert!(Instant::now() < end, "the ends of {seen:?} are not reported");
    }
    let ask = |args: &[&str]| -> Value {
        let output = Command::new(setting::taskscope()).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("starting taskscope: {error}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // 9 if a zombie was older than a second.
        assert!(matches!(output.status.code(), Some(0 | 9)), "{args:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
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
