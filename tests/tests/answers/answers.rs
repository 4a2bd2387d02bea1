//! Answers of all commands agree with the events and with the kernel, for every way to name a process.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    proc,
    scenario::Scenario,
    service::{self, Service},
    setting,
    skipped::attempts,
    wait,
};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(args).env("LC_ALL", "C.UTF-8").env_remove("COLUMNS").env("TZ", "UTC");
    command
}

#[track_caller]
fn run(args: &[&str]) -> Output {
    command(args).output().unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let output = run(args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn paused(name: &str, at: &str) -> Scenario {
    let mut scenario = scenario(name, &[]);
    scenario.pause(at);
    scenario
}

/// Asks until an answer meets a condition, and returns it.
#[track_caller]
fn until(args: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until_answer(|| json(args), is_wanted)
}

#[test]
fn explain_of_an_ended_life_has_the_times_of_the_events() {
    attempts(|| {
        let service = Service::start(&["--backlog", "1000000"]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("zombie", "zombie");
        let child = scenario.facts().role("child").pid.to_string();
        let asked = ["explain", "--socket", &socket, "--format", "json", &child];
        until(&asked, |answer| answer["task"]["state"] == "zombie");
        // It is a zombie for longer than the resolution of any clock.
        sleep(Duration::from_millis(300));
        scenario.go();
        scenario.finish();
        let dead = until(&asked, |answer| answer["task"]["state"] == "released");
        let reported = |action: &str| {
            let query = format!("?since=1h&pid={child}&action={action}&limit=1");
            let lines = service.events(&query, "").rest();
            let event: Value = serde_json::from_str(&lines[0]).unwrap_or_else(|error| panic!("{error}"));
            event["boottime_ns"].as_u64()
        };
        assert_eq!(dead["task"]["ended_boottime_ns"].as_u64(), reported("group_exited"), "{dead:#}");
        assert_eq!(dead["task"]["taken_boottime_ns"].as_u64(), reported("reaped"), "{dead:#}");
        let story = dead["story"].as_array().cloned().unwrap_or_default();
        let at = |words: &str| {
            let step =
                story.iter().find(|step| step["text"].as_str().is_some_and(|text| text.contains(words)));
            step.unwrap_or_else(|| panic!("no {words}: {dead:#}"))["boottime_ns"].as_u64()
        };
        assert_eq!(at("ended with exit code"), reported("group_exited"), "{dead:#}");
        assert_eq!(at("reaped by"), reported("reaped"), "{dead:#}");
        service.stop_clean();
    });
}

#[test]
fn a_child_whose_forking_thread_has_ended_says_so() {
    attempts(|| {
        let service = Service::start(&[]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("sibling-thread", "reparented");
        let child = scenario.facts().role("child").pid.to_string();
        let asked = ["explain", "--socket", &socket, "--format", "json", &child];
        let answer = until(&asked, |answer| !answer["task"]["forked_by_thread"].is_null());
        let forker = scenario.facts().role("forker").tid;
        assert_eq!(answer["task"]["forked_by_thread"]["tid"].as_i64(), Some(forker), "{answer:#}");
        let story = answer["story"].to_string();
        assert!(story.contains("that forked it (tid"), "{story}");
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

#[test]
fn the_tree_shows_the_first_parent_of_an_orphan() {
    attempts(|| {
        let service = Service::start(&[]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("orphan", "orphaned");
        let orphan = scenario.facts().role("orphan").pid;
        let asked = ["tree", "--socket", &socket, "--format", "json", &orphan.to_string()];
        let tree = until(&asked, |tree| !tree["processes"][0]["orphan_of"].is_null());
        let first = tree["processes"][0]["orphan_of"]["pid"].as_i64();
        assert_eq!(first, Some(scenario.facts().role("middle").pid), "{tree:#}");
        let text = stdout(&run(&["tree", "--socket", &socket, &orphan.to_string()]));
        assert!(text.contains("orphan of "), "{text}");
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

#[test]
fn an_answer_about_the_past_says_from_when_it_is_complete() {
    let service = Service::start(&["--dead-lives", "5"]);
    let socket = service.socket().display().to_string();
    let then = service.json("/v1/zombies")["@timestamp"].as_str().unwrap_or_default().to_owned();
    scenario("burst", &["30"]).finish();
    let at = ["tree", "--socket", &socket, "--format", "json", "--at", &then];
    let tree = until(&at, |tree| !tree["incomplete_before"].is_null());
    assert!(tree["incomplete_before"].as_str() > Some(then.as_str()), "{tree:#}");
    let text = stdout(&run(&["tree", "--socket", &socket, "--at", &then]));
    assert!(text.lines().next().is_some_and(|line| line.contains("incomplete before")), "{text}");
    // On the tracepoint rung releases are reported late, and one after the other.
    service
        .until("more lives than are remembered", |now| now["taskscope_lives_forgotten_early_total"] >= 20.0);
    let forgotten = service.json("/v1/status")["lives_forgotten_early"].as_u64();
    assert!(forgotten >= Some(20), "{forgotten:?}");
    service.stop_clean();
}

#[test]
fn blocked_tasks_are_listed_with_stack_and_the_process_that_they_wait_for() {
    attempts(|| {
        let service = Service::start(&[]);
        let socket = service.socket().display().to_string();
        let mut scenario = paused("vfork-held", "held");
        let child = scenario.facts().all("vforked").next().and_then(|fact| fact["pid"].as_i64());
        for source in [["--socket", &socket].as_slice(), &["--alone"]] {
            let args = [["blocked", "--format", "json"].as_slice(), source].concat();
            let mine = |answer: &Value| {
                let tasks = answer["tasks"].as_array().cloned().unwrap_or_default();
                tasks.into_iter().find(|task| task["waits_for_process"]["pid"].as_i64() == child)
            };
            let answer = until(&args, |answer| mine(answer).is_some());
            let task = mine(&answer).unwrap_or_default();
            let pid = task["process"]["pid"].as_i64().unwrap_or_default();
            assert_eq!(proc::state(pid), Some('D'), "{task:#}");
            assert!(task["task"]["kernel_stack"].to_string().contains("clone"), "{task:#}");
            assert!(task["blocked_at_least_ns"].as_u64() >= Some(100_000_000), "{task:#}");
        }
        let text = stdout(&command(&["blocked", "--alone"]).env("COLUMNS", "80").output().unwrap());
        assert!(text.contains("its vfork child"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

#[test]
fn the_first_process_has_one_id_in_all_modes() {
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    let id = |args: &[&str]| {
        let args = [["explain", "1", "--format", "json"].as_slice(), args].concat();
        json(&args)["process"]["entity_id"].as_str().unwrap_or_default().to_owned()
    };
    let by_daemon = id(&["--socket", &socket]);
    assert!(by_daemon.ends_with("-1-0"), "{by_daemon}");
    assert_eq!(id(&["--alone"]), by_daemon);
    assert_eq!(id(&["--alone", "--no-iterator"]), by_daemon);
    let answer = json(&["explain", "--socket", &socket, "--format", "json", &by_daemon]);
    assert_eq!(answer["process"]["pid"], 1, "{answer:#}");
    service.stop_clean();
}

#[test]
fn a_name_stands_for_the_topmost_process_that_has_it() {
    if !std::path::Path::new("/bin/sh").exists() {
        return setting::skip(format_args!("there is no /bin/sh to take a name"));
    }
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    // Only the process itself can set its comm; after that it reads its input to the end.
    let script = "printf ts-$$ > /proc/$$/comm; read _";
    let child = Command::new("sh").args(["-c", script]).stdin(std::process::Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{error}"));
    let name = format!("ts-{}", child.id());
    for source in [["--socket", &socket].as_slice(), &["--alone"]] {
        let asked = [["explain", "--format", "json", &name].as_slice(), source].concat();
        wait::until("the process has its name", || run(&asked).status.success());
        assert_eq!(json(&asked)["process"]["pid"], child.id());
        let limits = json(&[["limits", "--format", "json", &name].as_slice(), source].concat());
        assert_eq!(limits["process"]["pid"], child.id(), "{limits:#}");
        let nobody = run(&[["tree", "no-such-name"].as_slice(), source].concat());
        assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
        assert!(stderr(&nobody).contains("no process or systemd unit"), "{nobody:?}");
    }
    child.kill().and_then(|()| child.wait()).unwrap_or_else(|error| panic!("{error}"));
    service.stop_clean();
}

#[test]
fn zombies_can_be_filtered_by_age() {
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    // Without a daemon, the command would observe for that long.
    let answer = json(&["zombies", "--format", "json", "--min-age", "1d", "--socket", &socket]);
    assert!(answer["observed_ns"].as_u64().is_some_and(|ns| ns < 86_400_000_000_000), "{answer:#}");
    service.stop_clean();
}

#[test]
fn status_fits_the_terminal() {
    let service = Service::start(&[]);
    let socket = service.socket().display().to_string();
    let printed = command(&["status", "--socket", &socket]).env("COLUMNS", "80").output();
    let printed = stdout(&printed.unwrap_or_else(|error| panic!("{error}")));
    let longest = printed.lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|longest| longest <= 80), "{printed}");
    service.stop_clean();
}

#[test]
fn two_signals_at_once_count_as_one() {
    let mut process = command(&["events", "--alone"]);
    let mut process = process
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}"));
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stderr.take().unwrap()));
    while !lines.next().unwrap().unwrap().contains("ready") {}
    // GNU timeout(1) sends the signal to the process, and then to its group.
    for _ in 0..2 {
        taskscope_tests::spawner::signal(&process, libc::SIGINT);
    }
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn run_without_privileges_exits_with_3_and_leaves_nothing_behind() {
    let directory = service::directory();
    let socket = directory.join("none/deep/socket");
    let socket = socket.to_string_lossy();
    let missing = run(&["run", "--listen", "", "--socket", &socket]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(stderr(&missing).contains("mkdir -p"), "{missing:?}");
    assert!(!directory.join("none").exists());
    fs::remove_dir_all(&directory).unwrap_or_else(|error| panic!("{error}"));
    let mut process = command(&["run", "--listen", "", "--socket", "/tmp/taskscope-nobodys"]);
    let refused = process.uid(65534).gid(65534).output().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(stderr(&refused).contains("sudo taskscope run"), "{refused:?}");
    assert!(!std::path::Path::new("/tmp/taskscope-nobodys").exists());
}
