//! `taskscope job`: compares its reports with the kernel's figures and with what the commands print about themselves.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod bad_input;
mod build;
mod leftovers;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use taskscope_tests::{cgroup::Cgroup, directory::Directory, service::Service, setting, spawner};

const MS: u64 = 1_000_000;

/// Where the events come from.
enum Source<'a> {
    Alone,
    Daemon(&'a Service),
}

/// A job that has ended.
struct Job {
    output: Output,
    report: Value,
}

fn taskscope(source: &Source<'_>) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).arg("job");
    match source {
        Source::Alone => command.args(["--alone", "--attach", &setting::attach()]),
        Source::Daemon(service) => command.arg("--socket").arg(service.socket()),
    };
    command
}

fn scenario(words: &[&str]) -> Vec<String> {
    let program = setting::scenario(env!("CARGO_BIN_EXE_scenario")).display().to_string();
    std::iter::once(program).chain(words.iter().map(|&word| word.to_owned())).collect()
}

/// How often a job is repeated of which the kernel skipped calls of a program.
const MOST_SKIPPED: u32 = 8;

/// Runs a job. From 7.0 on, the kernel skips calls of fentry programs that were preempted on the same CPU, and the figures are lower
/// bounds then. Such a job is repeated.
fn job(source: &Source<'_>, name: &str, options: &[&str], command: &[String]) -> Job {
    let is_skipped = |job: &Job| {
        let mut lost = job.report["lost"].as_array().into_iter().flatten().peekable();
        lost.peek().is_some() && lost.all(|gap| gap["place"] == "skipped")
    };
    let mut skipped = 0;
    loop {
        let job = job_once(source, name, options, command);
        if !is_skipped(&job) {
            return job;
        }
        skipped += 1;
        println!("the kernel skipped calls of a program in {skipped} runs so far");
        assert!(skipped < MOST_SKIPPED, "{}", job.report);
    }
}

fn job_once(source: &Source<'_>, name: &str, options: &[&str], command: &[String]) -> Job {
    let directory = Directory::new(name);
    let file = directory.file("report.json");
    let mut taskscope = taskscope(source);
    taskscope.arg("--report").arg(&file).args(options).arg("--").args(command);
    let output = taskscope.output().unwrap_or_else(|error| panic!("running {taskscope:?}: {error}"));
    let text = fs::read_to_string(&file).unwrap_or_default();
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    Job { output, report }
}

/// Returns the CPU time that a process uses at most between `exit_notify()` and its last switch, us. A guest counts the time in which
/// the host runs something else too.
fn quick_us() -> u64 {
    if setting::in_vm() { 4_000 } else { 500 }
}

/// The kernel rounds the sum of a cgroup down, us.
const ROUNDED_US: u64 = 2;

impl Job {
    fn number(&self, path: &str) -> u64 {
        self.report
            .pointer(path)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {path} in {}", self.report))
    }

    fn facts(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.output.stdout);
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// Returns the pids of a fact that the command printed.
    fn pids(&self, kind: &str) -> Vec<u64> {
        let facts = self.facts();
        let fact = facts.iter().find(|found| found["fact"] == kind);
        let fact = fact.unwrap_or_else(|| panic!("no {kind} in {facts:?}"));
        fact["pids"].as_array().unwrap().iter().filter_map(Value::as_u64).collect()
    }

    /// Returns the pids of the critical path.
    fn path(&self) -> Vec<u64> {
        let steps = self.report["critical_path"]["steps"].as_array().unwrap();
        let mut pids: Vec<u64> = steps.iter().filter_map(|step| step["pid"].as_u64()).collect();
        pids.dedup();
        pids
    }

    /// Checks that the CPU time that wait4(2) returned equals that of the events. They can differ by a microsecond or two, because
    /// wait4(2) rounds user and system time down. A parent that is quick reaps a child before the child's last switch on another
    /// CPU. wait4(2) does not count what the child uses in between, and the events do.
    #[track_caller]
    fn assert_equals_wait4(&self) {
        let us = self.number("/usage/wait4/user_us") + self.number("/usage/wait4/system_us");
        let reported = self.number("/usage/waited_for/exec_runtime_ns") / 1000;
        let quick = self.number("/usage/waited_for/processes") * quick_us();
        assert!(
            reported + 2 >= us && reported <= us + 2 + quick,
            "reported {reported} us, wait4 {us} us: {}",
            self.report
        );
        for (ours, kernels) in [("minor_faults", "minor_faults"), ("major_faults", "major_faults")] {
            let reported = self.number(&format!("/usage/waited_for/{ours}"));
            assert_eq!(reported, self.number(&format!("/usage/wait4/{kernels}")), "{ours}: {}", self.report);
        }
    }

    #[track_caller]
    fn assert_whole(&self) {
        let stderr = String::from_utf8_lossy(&self.output.stderr);
        assert_eq!(self.report["at_least"], false, "{}\n{stderr}", self.report);
        assert!(self.report.get("notes").is_none(), "{}\n{stderr}", self.report);
    }
}

#[test]
fn what_was_waited_for_is_what_wait4_says() {
    let service = Service::start(&[]);
    for (name, source) in [("tree-alone", Source::Alone), ("tree-daemon", Source::Daemon(&service))] {
        let job = job(&source, name, &[], &scenario(&["job-tree", "20"]));
        job.assert_whole();
        assert_eq!(job.number("/processes/made"), 41, "{}", job.report);
        assert_eq!(job.number("/usage/waited_for/processes"), 41);
        job.assert_equals_wait4();
    }
}

#[test]
fn what_no_wait_collects_is_counted_apart() {
    let job = job(&Source::Alone, "unwaited", &["--zombie-after", "2s"], &scenario(&["job-unwaited", "20"]));
    job.assert_whole();
    assert_eq!(job.number("/usage/autoreaped/processes"), 20, "{}", job.report);
    assert!(job.number("/usage/autoreaped/exec_runtime_ns") >= 20 * MS, "{}", job.report);
    assert_eq!(job.number("/usage/orphaned/processes"), 1, "{}", job.report);
    assert!(job.number("/usage/orphaned/exec_runtime_ns") >= 5 * MS);
    job.assert_equals_wait4();
    assert_eq!(job.number("/zombies/count"), 1, "{}", job.report);
    let longest = job.number("/zombies/parents/0/longest_ns");
    assert!((2_400 * MS..8_000 * MS).contains(&longest), "{longest}");
}

#[test]
fn what_no_wait_collects_is_in_the_cgroups_figures_too() {
    let name = format!("taskscope-job-{}", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&name]) else {
        return setting::skip("no cgroup of the v2 hierarchy can be made");
    };
    let path = cgroup.path().display().to_string();
    let job = job(&Source::Alone, "cgroup", &[], &scenario(&["job-cgroup", &path]));
    job.assert_whole();
    let text = fs::read_to_string(cgroup.path().join("cpu.stat")).unwrap();
    let kernels = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
    let kernels: u64 = kernels.parse().unwrap();
    let facts = job.facts();
    let fact = |key: &str| facts.iter().find_map(|fact| fact[key].as_u64()).unwrap();
    let [most, least] =
        ["before_ns", "moved_ns"].map(|key| (job.number("/usage/all/exec_runtime_ns") - fact(key)) / 1000);
    assert_eq!(job.number("/usage/all/processes"), 19, "{}", job.report["processes"]);
    assert!(job.number("/usage/autoreaped/exec_runtime_ns") >= 10 * MS, "{}", job.report);
    assert!(job.number("/usage/orphaned/exec_runtime_ns") >= 5 * MS, "{}", job.report);
    println!("TASKSCOPE-REPORT cpu_stat_us={kernels} reported_us={least}..{most}");
    assert!(
        (least - ROUNDED_US..=most + ROUNDED_US).contains(&kernels),
        "reported {least} to {most} us, cpu.stat {kernels} us: {}",
        job.report
    );
}

#[test]
fn the_critical_path_is_that_of_the_schedule() {
    let service = Service::start(&[]);
    for (name, source) in [("path-alone", Source::Alone), ("path-daemon", Source::Daemon(&service))] {
        let run = || job(&source, name, &[], &scenario(&["job-schedule"]));
        // In a guest whose host is busy, a parent can get a CPU so late that it looks like one that did not wait.
        let busy = if setting::in_vm() { 4 } else { 0 };
        let job = (0..busy).map(|_| run()).find(|job| job.path() == job.pids("path")).unwrap_or_else(run);
        job.assert_whole();
        let steps = job.report["critical_path"]["steps"].as_array().unwrap();
        let pids = job.path();
        assert_eq!(pids, job.pids("path"), "{}", job.report);
        // The steps have no gaps, and are the wall time.
        let mut at = 0;
        for step in steps {
            assert_eq!(step["at_ns"].as_u64(), Some(at), "{}", job.report);
            at += step["wall_ns"].as_u64().unwrap();
        }
        assert_eq!(at, job.number("/wall_ns"));
        let beside = job.pids("beside");
        assert!(!pids.iter().any(|pid| beside.contains(pid)));
        // A child that sleeps is asleep, not on a CPU.
        let long = steps.iter().filter(|step| step["pid"].as_u64() == Some(job.pids("path")[3]));
        let asleep: u64 = long.filter_map(|step| step["asleep_ns"].as_u64()).sum();
        assert!(asleep >= 300 * MS, "{}", job.report);
    }
}

#[test]
fn the_status_is_passed_through() {
    for code in [0, 1, 42, 255] {
        let job =
            job(&Source::Alone, &format!("exit-{code}"), &[], &scenario(&["job-exit", &code.to_string()]));
        assert_eq!(job.output.status.code(), Some(code));
        assert_eq!(job.report["exit"]["code"], code, "{}", job.report);
    }
    let job = job(&Source::Alone, "signal", &[], &scenario(&["job-kill", "9"]));
    assert_eq!(job.output.status.code(), Some(137));
    assert_eq!(job.report["exit"]["signal"], "SIGKILL", "{}", job.report);
}

#[test]
fn what_cannot_be_started_has_the_status_of_a_shell() {
    for (command, code) in [("/nonexistent/command", 127), ("/proc/version", 126)] {
        let output = taskscope(&Source::Alone).arg("--").arg(command).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command}: {stderr}");
        assert!(stderr.contains(command) && output.stdout.is_empty(), "{stderr}");
    }
    let output = taskscope(&Source::Alone).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_signal_is_passed_to_the_command() {
    let mut command = taskscope(&Source::Alone);
    command.arg("--").args(scenario(&["job-until"])).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = spawner::spawn(command).unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let runs = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("\"runs\"")));
    assert!(runs.is_some(), "the command has not started");
    let pid = i32::try_from(running.id()).unwrap();
    // SAFETY: the call has no pointers, and the child is not reaped yet.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let output = running.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(42), "{stderr}");
    assert!(stderr.contains("Critical path"), "{stderr}");
}

#[test]
fn a_job_in_a_job_is_part_of_it() {
    let directory = Directory::new("nested");
    let inner = directory.file("inner.json");
    let mut command = vec![setting::taskscope().display().to_string(), "job".into(), "--alone".into()];
    command.extend([
        "--attach".to_owned(),
        setting::attach(),
        "--report".into(),
        inner.display().to_string(),
    ]);
    command.push("--".into());
    command.extend(scenario(&["job-tree", "3"]));
    let outer = job(&Source::Alone, "outer", &[], &command);
    assert_eq!(outer.output.status.code(), Some(0));
    let inner: Value = serde_json::from_str(&fs::read_to_string(&inner).unwrap()).unwrap();
    assert_eq!(inner["processes"]["made"], 7, "{inner}");
    // The outer job also has the inner taskscope itself, with its canaries.
    assert!(outer.number("/processes/made") >= 8, "{}", outer.report);
    outer.assert_equals_wait4();
}

#[test]
fn a_long_chain_of_forks_is_whole() {
    let count = 200;
    let job = job(&Source::Alone, "loop", &[], &scenario(&["job-loop", &count.to_string()]));
    job.assert_whole();
    assert_eq!(job.number("/processes/made"), count + 1, "{}", job.report["processes"]);
    assert_eq!(job.number("/processes/most_at_once"), count + 1);
    job.assert_equals_wait4();
}

#[test]
fn after_a_loss_the_report_says_at_least() {
    // The smallest ring cannot hold the records of a storm between two polls.
    for _ in 0..5 {
        let storm = scenario(&["job-tree", "600"]);
        let options = ["--ring-kib", "4"];
        let job = job(&Source::Alone, "lost", &options, &storm);
        if job.report["lost"].as_array().is_some_and(|lost| !lost.is_empty()) {
            assert_eq!(job.report["at_least"], true);
            assert_eq!(job.report["usage"]["all"]["at_least"], true);
            return;
        }
    }
    setting::skip("the smallest ring lost nothing");
}

#[test]
fn a_pipeline_is_waited_for_as_a_whole() {
    if setting::skip_in_vm("a guest has no shell") {
        return;
    }
    let script = "seq 20000 | sort -r | tail -1; exit 3";
    let job = job(&Source::Alone, "pipe", &["--args"], &["sh", "-c", script].map(str::to_owned));
    assert_eq!(job.output.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&job.output.stdout), "1\n", "nothing else is on standard output");
    job.assert_whole();
    job.assert_equals_wait4();
    assert_eq!(job.number("/processes/made"), 4, "{}", job.report);
    assert_eq!(job.number("/failures/count"), 1, "only the shell itself: {}", job.report["failures"]);
}

#[test]
fn a_baseline_shows_what_grew() {
    let directory = Directory::new("baseline");
    let file = directory.file("before.json");
    let before = job(&Source::Alone, "before", &[], &scenario(&["job-tree", "2"]));
    fs::write(&file, before.report.to_string()).unwrap();
    let mut command = taskscope(&Source::Alone);
    command.arg("--baseline").arg(&file).arg("--").args(scenario(&["job-tree", "10"]));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().find(|line| line.trim_end().ends_with("processes") && line.contains("+320 %"));
    assert!(line.is_some(), "5 processes before, 21 now: {stderr}");
    // What cannot be read is refused before the command runs.
    fs::write(&file, "{}").unwrap();
    let output = taskscope(&Source::Alone)
        .arg("--baseline")
        .arg(&file)
        .arg("--")
        .args(scenario(&["job-exit", "7"]))
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
