//! `taskscope job --pid` and `--unit`: the report of a job that has run, compared with the report of the same command that
//! `taskscope job -- COMMAND` made while it ran, and with what wait4(2) says.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use taskscope_tests::{
    cgroup::Cgroup, directory::Directory, history::History, service::Service, setting, wait,
};

/// Returns the CPU time that a process uses at most between `exit_notify()` and its last switch, us. A guest counts the time in which
/// the host runs something else too.
fn quick_us() -> u64 {
    if setting::in_vm() { 4_000 } else { 500 }
}

fn taskscope(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).arg("job").args(args);
    command
}

fn scenario(words: &[&str]) -> Command {
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs `taskscope job` with a report; returns its output and the report.
#[track_caller]
fn reported(directory: &Directory, args: &[&str], command: Option<&Command>) -> (Output, Value) {
    let file = directory.file("report.json");
    let mut taskscope = taskscope(args);
    taskscope.arg("--report").arg(&file);
    if let Some(command) = command {
        taskscope.arg("--").arg(command.get_program()).args(command.get_args());
    }
    let output = taskscope.output().unwrap();
    let text = fs::read_to_string(&file).unwrap_or_default();
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output, report)
}

/// Returns the pid of the report's command, which is the first process of the critical path.
#[track_caller]
fn root(live: &Value) -> String {
    live.pointer("/critical_path/steps/0/pid").and_then(Value::as_u64).unwrap().to_string()
}

/// What both reports must agree on.
const SAME: [&str; 20] = [
    "/name",
    "/wall_ns",
    "/exit",
    "/processes",
    "/failures/count",
    "/zombies",
    "/usage/all/processes",
    "/usage/waited_for/processes",
    "/usage/waited_for/exec_runtime_ns",
    "/usage/waited_for/run_delay_ns",
    "/usage/waited_for/minor_faults",
    "/usage/waited_for/voluntary_switches",
    "/usage/autoreaped/processes",
    "/usage/autoreaped/exec_runtime_ns",
    "/usage/orphaned/processes",
    "/usage/orphaned/exec_runtime_ns",
    "/usage/left/processes",
    "/critical_path/wall_ns",
    "/critical_path/time/wall_ns",
    "/parallelism/alone_ns",
];

fn path_of(report: &Value) -> Vec<(u64, u64)> {
    let steps = report["critical_path"]["steps"].as_array().unwrap();
    steps.iter().map(|step| (step["pid"].as_u64().unwrap(), step["wall_ns"].as_u64().unwrap())).collect()
}

fn left(report: &Value) -> Vec<u64> {
    report["leftovers"].as_array().unwrap().iter().filter_map(|left| left["pid"].as_u64()).collect()
}

/// Whether a report says that the records of some tasks had not arrived.
fn is_lower_bound(report: &Value) -> bool {
    report["notes"].to_string().contains("figures are lower bounds")
}

#[track_caller]
fn assert_same(live: &Value, past: &Value) {
    for pointer in SAME {
        assert_eq!(past.pointer(pointer), live.pointer(pointer), "{pointer}:\n{past}\n{live}");
    }
    assert_eq!(path_of(past), path_of(live), "{past}\n{live}");
    // What no record of a life has is absent, and not 0.
    for pointer in
        ["/cpus", "/parallelism/unused_cpu_ns", "/usage/wait4", "/critical_path/time/uninterruptible_ns"]
    {
        assert_eq!(past.pointer(pointer), None, "{pointer}: {past}");
    }
    let notes = past["notes"].to_string();
    assert!(notes.contains("uninterruptible, are not known"), "{notes}");
}

#[test]
fn a_job_of_the_past_has_the_report_of_the_job() {
    let history = History::new();
    let service = history.start(&[]);
    let socket = service.socket().display().to_string();
    let mut made = Vec::new();
    for words in [
        &["job-tree", "20"][..],
        &["job-schedule"],
        &["job-unwaited", "20"],
        &["job-loop", "50"],
        &["job-exit", "42"],
        &["job-kill", "9"],
    ] {
        let directory = Directory::new(words[0]);
        let options = ["--socket", &socket, "--zombie-after", "2s"];
        // On a busy host the ring can be full; such a report says so, and is no oracle.
        let run = || reported(&directory, &options, Some(&scenario(words))).1;
        let Some(live) = (0..5).map(|_| run()).find(|live| live.get("lost").is_none()) else {
            setting::skip(format!("records of {} were lost five times", words[0]));
            continue;
        };
        assert_eq!(live["at_least"], false, "{live}");
        let pid = root(&live);
        let asked = [&options[..], &["--pid", &pid, "--since", "10m"]].concat();
        let (output, past) = reported(&directory, &asked, None);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
        assert_same(&live, &past);
        assert_eq!(left(&past), Vec::<u64>::new());
        // The daemon has run for less than ten minutes. Processes that ended before its start may be missing, and the report says
        // so.
        assert_eq!(past["at_least"], true, "{past}");
        assert!(past["notes"].to_string().contains("are not known"), "{past}");
        made.push((pid, live));
    }
    // Read the directory, without a daemon. Figures of tasks that left their CPU after their release are lower bounds there.
    let path = history.path().display().to_string();
    let from = |pid: &str| {
        let asked = ["--from", &path, "--zombie-after", "2s", "--pid", pid, "--since", "10m"];
        reported(&Directory::new("from"), &asked, None).1
    };
    // The daemon writes a frame after 5 s. On a kernel that does not report when pid 1 reaps an orphan, it also needs a poll of
    // /proc.
    for (pid, live) in &made {
        wait::until_answer(|| from(pid), |past| past["processes"] == live["processes"]);
    }
    drop(service);
    for (pid, live) in made {
        let past = from(&pid);
        if is_lower_bound(&past) {
            assert_eq!(past["at_least"], true, "{past}");
            assert_eq!(past["processes"], live["processes"], "{past}");
        } else {
            assert_same(&live, &past);
        }
    }
}

/// Kills processes that a job left, also if the test fails.
struct Left(Vec<u64>);

impl Drop for Left {
    fn drop(&mut self) {
        for pid in &self.0 {
            // SAFETY: the call has no pointers. The job's report named the process, which lives until it is killed.
            unsafe { libc::kill(i32::try_from(*pid).unwrap_or(0), libc::SIGKILL) };
        }
    }
}

#[test]
fn what_a_job_of_the_past_left_is_found_where_it_lives_now() {
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    let directory = Directory::new("past-left");
    let (_, live) = reported(&directory, &["--socket", &socket], Some(&scenario(&["job-daemon"])));
    let mut pids = left(&live);
    let _left = Left(pids.clone());
    assert_eq!(pids.len(), 3, "{live}");
    let pid = root(&live);
    let asked = ["--socket", &socket, "--pid", &pid, "--since", "5m", "--fail-on", "leftovers"];
    let (output, past) = reported(&directory, &asked, None);
    assert_eq!(output.status.code(), Some(1), "--fail-on found something");
    let mut found = left(&past);
    assert_eq!(found[0], pids[0], "the daemon first, then its children: {past}");
    found.sort_unstable();
    pids.sort_unstable();
    assert_eq!(found, pids, "{past}");
    assert_eq!(past["processes"]["made"], live["processes"]["made"]);
    assert_eq!(past["wall_ns"], live["wall_ns"]);
    // Processes that ended before `--since` are in no sum.
    let old = pids[0].to_string();
    std::thread::sleep(Duration::from_millis(50));
    let asked = ["--socket", &socket, "--pid", &old, "--since", "1ms"];
    let (_, older) = reported(&directory, &asked, None);
    assert_eq!(
        (&older["at_least"], &older["usage"]["all"]["at_least"]),
        (&true.into(), &true.into()),
        "{older}"
    );
    assert_eq!(older["processes"]["made"], 0, "{older}");
    assert_eq!(older["past"]["running"], 1, "{older}");
    assert!(older["notes"].to_string().contains("began before this time"), "{older}");
    assert_eq!(older["critical_path"]["steps"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_report_of_a_unit_has_what_wait4_says_of_it() {
    let name = format!("taskscope-job-{}.service", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&name]) else {
        return setting::skip("no cgroup of the v2 hierarchy can be made");
    };
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    let mut us = 0;
    for _ in 0..2 {
        let mut command = scenario(&["job-tree", "5"]);
        cgroup.begin(&mut command);
        us += rusage_us(&mut command);
    }
    let directory = Directory::new("unit");
    let asked = ["--socket", &socket, "--unit", &name, "--since", "5m"];
    // With the tracepoint rung, a release is reported an RCU grace period late. With the other rungs, the final figures can be
    // late.
    let report = wait::until_answer(
        || reported(&directory, &asked, None).1,
        |report| {
            report["processes"]["made"] == 22
                && report["past"]["running"] == 0
                && report["usage"]["left"]["processes"] == 0
                && !is_lower_bound(report)
        },
    );
    assert_eq!(
        (&report["past"]["roots"], &report["past"]["unit"]),
        (&2.into(), &name.as_str().into()),
        "{report}"
    );
    assert_eq!(report["usage"]["waited_for"]["processes"], 22, "{report}");
    let found = report["usage"]["waited_for"]["exec_runtime_ns"].as_u64().unwrap() / 1000;
    assert!(
        found + 4 >= us && found <= us + 4 + 22 * quick_us(),
        "reported {found} us, wait4 {us} us: {report}"
    );
    // Two processes were started one after the other, and neither decided.
    assert_eq!(report["critical_path"]["steps"].as_array().map(Vec::len), Some(0), "{report}");
    assert!(report["exit"].as_object().unwrap().is_empty(), "{report}");
}

/// Runs a command; returns the CPU time that wait4(2) says.
#[expect(clippy::zombie_processes, reason = "wait4(2) reaps it")]
fn rusage_us(command: &mut Command) -> u64 {
    let child = command.spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: the structure holds integers only, for which all zeroes are valid.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: both pointers are to variables that outlive the call; the child is not reaped yet.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut used) };
    assert_eq!((reaped, status), (pid, 0));
    let us = |time: libc::timeval| (time.tv_sec * 1_000_000 + time.tv_usec).cast_unsigned();
    us(used.ru_utime) + us(used.ru_stime)
}

#[test]
fn what_is_asked_for_wrongly_is_refused_and_what_is_not_known_is_named() {
    let command = ["--", "/bin/true"];
    for (args, word) in [
        (&["--pid", "1"][..], "--since"),
        (&["--pid", "x", "--since", "1m"], "--pid"),
        (&["--since", "1m"], "COMMAND"),
        (&["--pid", "1", "--unit", "x", "--since", "1m"], "--unit"),
        (&["--pid", "1", "--since", "1m", command[0], command[1]], "COMMAND"),
        (&["--pid", "1", "--since", "1m", "--kill-leftovers"], "--kill-leftovers"),
        (&["--pid", "1", "--since", "1m", "--alone"], "--alone"),
        (&["--from", "/tmp", command[0], command[1]], "--from"),
        (&["--pid", "1", "--since", "1m", "--until", "2h"], "--until"),
        (&["--pid", "1", "--since", "1m", "--until", "soon"], "--until"),
    ] {
        let output = taskscope(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
    }
    let output =
        taskscope(&["--pid", "1", "--since", "1m", "--from", "/nonexistent/history"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("/nonexistent/history"), "{stderr}");
    let output =
        taskscope(&["--pid", "1", "--since", "1m", "--socket", "/nonexistent/socket"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("no taskscope daemon answers"), "{stderr}");
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    for (args, word) in [
        (&["--pid", "4194303"][..], "no process of this time is known with the pid 4194303"),
        (&["--unit", "no-such-unit.service"], "no process of this time is known in this unit"),
        // Older than the daemon.
        (&["--pid", "4194303", "--until", "1h"], "no process of this time is known"),
    ] {
        let args = [args, &["--since", "2h", "--socket", &socket]].concat();
        let output = taskscope(&args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
    }
    assert!(!Path::new("report.json").exists());
}
