//! `taskscope record` and `taskscope replay`: a replay prints what was printed while it was recorded.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod elsewhere;
mod files;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use taskscope_tests::{directory::Directory, setting, spawner, wait};

fn taskscope() -> Command {
    let mut command = Command::new(setting::taskscope());
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// `taskscope record FILE OPTIONS -- COMMAND`.
fn record(file: &Path, options: &[&str], command: &[&str]) -> Output {
    let mut recorder = taskscope();
    recorder.args(["record", "--attach", &setting::attach()]).args(options).arg(file).arg("--").args(command);
    recorder.output().unwrap_or_else(|error| panic!("running {recorder:?}: {error}"))
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    let mut command = taskscope();
    command.arg("replay").arg(file).args(arguments);
    command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"))
}

#[track_caller]
fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Processes, threads, orphans, zombies, renames, signals, pipelines.
const MIX: &str = "
for i in 1 2 3 4 5; do (exit $i) & done; wait
sh -c 'sleep 0.2 & sleep 0.1'
seq 50 | sort | tail -1 >/dev/null
sh -c 'kill -9 $$'
sh -c 'sleep 0.4 & exec sleep 0.6'
sleep 0.3
exit 7";

fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// Skips a test in a guest.
fn has_no_shell() -> bool {
    setting::skip_in_vm("a guest has no shell, which the recorded commands need")
}

#[test]
fn a_replay_prints_what_was_printed_while_it_was_recorded_each_time() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("same");
    let file = directory.file("a.rec");
    // Zombies are flagged, and the tree is compared, while it is recorded.
    let options = ["--print", "--zombie-after", "200ms", "--audit-every", "1s", "--canary-every", "500ms"];
    let live = record(&file, &options, &["sh", "-c", MIX]);
    assert_eq!(live.status.code(), Some(7), "{}", String::from_utf8_lossy(&live.stderr));
    let (first, second) = (replay(&file, &[]), replay(&file, &[]));
    assert!(first.stdout == second.stdout, "two replays differ");
    let live_text = String::from_utf8_lossy(&live.stdout);
    let first_text = text(&first);
    for (number, (live, replayed)) in live_text.lines().zip(first_text.lines()).enumerate() {
        assert_eq!(live, replayed, "line {number}");
    }
    assert_eq!(live_text.lines().count(), first_text.lines().count());
    assert!(live.stdout == first.stdout);
    // The exit codes of the shells are among the recorded events.
    let codes: Vec<_> = events(&first_text)
        .iter()
        .filter(|event| event["event"]["action"] == "group_exited" && event["process"]["name"] == "sh")
        .filter_map(|event| event["process"]["exit"]["code"].as_i64())
        .collect();
    for code in [1, 2, 3, 4, 5, 7] {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
}

#[test]
fn the_status_of_the_command_is_passed_on() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("status");
    for (number, (command, code)) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "kill -TERM $$"], 128 + libc::SIGTERM),
        (&["/nonexistent/command"], 127),
        (&["/etc/passwd"], 126),
    ]
    .into_iter()
    .enumerate()
    {
        let file = directory.file(&number.to_string());
        let output = record(&file, &[], command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
        assert_eq!(file.exists(), !(126..=127).contains(&code), "{command:?}");
    }
}

/// A recorder that is running, and the file that it writes.
fn start(file: &Path, command: &[&str]) -> Child {
    let mut recorder = taskscope();
    recorder.args(["record", "--attach", &setting::attach()]).arg(file);
    if !command.is_empty() {
        recorder.arg("--").args(command);
    }
    recorder.stderr(Stdio::piped());
    spawner::spawn(recorder).unwrap()
}

#[test]
fn a_signal_reaches_the_command_and_the_recording_is_whole() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("signal");
    let (file, ready) = (directory.file("a.rec"), directory.file("ready"));
    let script = format!("trap 'exit 5' TERM; : > {}; while :; do sleep 0.05; done", ready.display());
    let recorder = start(&file, &["sh", "-c", &script]);
    wait::until("the command is ready", || ready.exists());
    spawner::signal(&recorder, libc::SIGTERM);
    let output = recorder.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed = replay(&file, &["events", "--action", "group_exited"]);
    assert!(!String::from_utf8_lossy(&replayed.stderr).contains("no end"), "it has its end");
    assert!(!text(&replayed).is_empty());
}

#[test]
fn the_tree_of_a_replay_is_that_of_proc() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("tree");
    let file = directory.file("a.rec");
    // The shell writes down what /proc shows of itself and of its child.
    let script = "sleep 0.9 & echo $$ $! $(cut -d' ' -f4 /proc/$!/stat); sleep 0.3";
    let live = record(&file, &[], &["sh", "-c", script]);
    let numbers: Vec<u64> = text(&live).split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [shell, child, parent] = *numbers else { panic!("{numbers:?}") };
    assert_eq!(shell, parent);
    let answer = text(&replay(&file, &["explain", &child.to_string(), "--format", "json"]));
    let explained: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(explained["process"]["pid"], child, "{answer}");
    let tree = text(&replay(&file, &["tree", "--format", "json"]));
    let tree: Value = serde_json::from_str(&tree).unwrap();
    let found = tree["processes"].as_array().unwrap().iter().find(|process| process["pid"] == child);
    assert!(found.is_some(), "the child lives on when the shell has ended");
    // Before the command began, neither the shell nor its child existed.
    let before = text(&replay(&file, &["--at", "+0s", "tree", "--format", "json"]));
    assert!(!before.contains(&format!("\"pid\":{child},")), "{before}");
    let deaths = text(&replay(&file, &["deaths", "--all", "--pid", &shell.to_string(), "--format", "json"]));
    let deaths: Value = serde_json::from_str(&deaths).unwrap();
    assert_eq!(deaths["deaths"][0]["process"]["pid"], shell, "{deaths}");
}

#[test]
fn a_redacted_recording_has_the_same_events_without_names() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("redacted");
    let (plain, hidden, key) = (directory.file("plain"), directory.file("hidden"), directory.file("key"));
    let program = directory.file("secretname");
    fs::copy("/bin/true", &program).unwrap();
    fs::write(&key, "0123456789abcdef").unwrap();
    let command = [program.to_str().unwrap()];
    record(&plain, &[], &command);
    record(&hidden, &["--redact", "--redact-key", key.to_str().unwrap()], &command);
    let execs = |file: &Path| text(&replay(file, &["events", "--action", "execed"]));
    assert!(execs(&plain).contains("secretname"));
    let redacted = execs(&hidden);
    assert!(!redacted.is_empty() && !redacted.contains("secretname"), "{redacted}");
    let content = Command::new("zstd").args(["-dc"]).arg(&hidden).output();
    if let Ok(content) = content {
        let is_named = content.stdout.windows(10).any(|part| part == b"secretname");
        assert!(content.status.success() && !is_named, "zstd reads the file, and the name is not in it");
    }
}

/// Returns the scenario program, which guests have too.
fn scenario() -> String {
    setting::scenario(env!("CARGO_BIN_EXE_scenario")).to_str().unwrap().to_owned()
}

/// On each kernel: what is printed while it is recorded is what a replay prints, and two answers about the same time are the same.
#[test]
fn a_recording_of_this_kernel_replays_to_the_same_bytes() {
    let directory = Directory::new("kernel");
    let file = directory.file("a.rec");
    let program = scenario();
    let options = ["--print", "--zombie-after", "200ms", "--audit-every", "1s", "--canary-every", "500ms"];
    // Without a command, only events are printed.
    let printed = directory.file("printed");
    let mut recorder = taskscope();
    recorder.args(["record", "--attach", &setting::attach()]).args(options).arg(&file);
    recorder.stdin(Stdio::null()).stdout(fs::File::create(&printed).unwrap()).stderr(Stdio::piped());
    let mut recorder = spawner::spawn(recorder).unwrap();
    let mut messages = BufReader::new(recorder.stderr.take().unwrap()).lines();
    let ready = messages.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("ready: ")));
    assert!(ready.is_some(), "the recorder ended");
    let burst = Command::new(&program).args(["burst", "50"]).stdin(Stdio::null()).output().unwrap();
    assert!(burst.status.success(), "{burst:?}");
    let ended = |text: &str| {
        let is_ours =
            |line: &&str| line.contains("\"group_exited\"") && line.contains("\"name\":\"scenario\"");
        text.lines().filter(is_ours).count()
    };
    wait::until("all ends are printed", || ended(&fs::read_to_string(&printed).unwrap()) >= 50);
    spawner::signal(&recorder, libc::SIGINT);
    let rest: Vec<String> = messages.map_while(Result::ok).collect();
    assert!(recorder.wait().unwrap().success(), "{rest:?}");
    let replayed = replay(&file, &[]);
    let (live_text, replayed_text) = (fs::read_to_string(&printed).unwrap(), text(&replayed));
    for (number, (live, replayed)) in live_text.lines().zip(replayed_text.lines()).enumerate() {
        assert_eq!(live, replayed, "line {number}");
    }
    assert!(live_text == replayed_text, "the replay has more or fewer lines");
    for view in
        [&["tree", "--kernel", "--format", "json"][..], &["lives"], &["deaths", "--all", "--format", "json"]]
    {
        assert!(replay(&file, view).stdout == replay(&file, view).stdout, "{view:?} differs");
    }
    setting::report("recording_bytes", fs::metadata(&file).unwrap().len());
}

#[test]
fn limits_of_a_replay_are_those_that_refused_a_fork() {
    let name = format!("taskscope-recorded-{}", std::process::id());
    let Some(cgroup) = taskscope_tests::cgroup::Cgroup::with_pids_limit(&name, 20) else { return };
    let directory = Directory::new("limits");
    let file = directory.file("a.rec");
    let mut recorder = taskscope();
    recorder.args(["record", "--attach", &setting::attach()]).arg(&file).arg("--");
    recorder.args([&scenario(), "zombies-to-the-limit", cgroup.path().to_str().unwrap()]);
    // The scenario waits for a line before it ends.
    let mut recorder = spawner::spawn({
        recorder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        recorder
    })
    .unwrap();
    let doctor =
        taskscope().args(["doctor", "--format", "json", "--attach", &setting::attach()]).output().unwrap();
    let by_tracepoint = String::from_utf8_lossy(&doctor.stdout).contains("tp_btf task_newtask");
    // The recorder reads the limits once a record has come: until then the cgroup must stay full.
    wait::until("the limit is recorded", || {
        by_tracepoint || String::from_utf8_lossy(&replay(&file, &["limits"]).stdout).contains(&name)
    });
    std::io::Write::write_all(&mut recorder.stdin.take().unwrap(), b"go\ngo\ngo\n").unwrap();
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let facts = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(facts.contains("\"refused\""), "{facts}");
    let answer: Value = serde_json::from_str(&text(&replay(&file, &["limits", "--format", "json"]))).unwrap();
    let limits = answer["limits"].as_array().unwrap();
    if limits.is_empty() && by_tracepoint {
        let missing = answer["missing"].to_string();
        assert!(missing.contains("failed forks"), "{missing}");
        return setting::skip("a tracepoint does not report failed forks");
    }
    let own = limits.iter().find(|limit| limit["name"].as_str().is_some_and(|path| path.ends_with(&name)));
    let own = own.unwrap_or_else(|| panic!("{name} is not in {answer:#}"));
    assert_eq!((&own["kind"], &own["limit"]), (&"cgroup".into(), &20.into()), "{own:#}");
    assert!(own["refused"].as_u64().is_some_and(|times| times >= 1), "{own:#}");
    assert!(answer["missing"][0]["fact"].is_string(), "{answer:#}");
    // Before that, no fork was refused.
    let before = text(&replay(&file, &["--at", "+0s", "limits"]));
    assert!(before.contains("no fork was refused up to this time"), "{before}");
}

#[test]
fn a_frame_and_the_blocked_tasks_of_a_replay_are_shown() {
    let directory = Directory::new("frame");
    let file = directory.file("a.rec");
    // A vfork parent waits for its child in uninterruptible sleep.
    let live = record(&file, &[], &[&scenario(), "burst", "20"]);
    assert!(live.status.success(), "{}", String::from_utf8_lossy(&live.stderr));
    let blocked: Value =
        serde_json::from_str(&text(&replay(&file, &["blocked", "--format", "json"]))).unwrap();
    assert!(blocked["blocked"].is_u64(), "{blocked}");
    let frame = |arguments: &[&str]| {
        let mut command = taskscope();
        command.env("COLUMNS", "100").env("LINES", "40").arg("replay").arg(&file).args(arguments);
        text(&command.output().unwrap())
    };
    let (first, second) = (frame(&["top"]), frame(&["top"]));
    assert_eq!(first, second, "a frame of a recording is the same each time");
    assert!(first.contains("a recording"), "{first}");
    assert_eq!(first.lines().count(), 40, "{first}");
    assert_ne!(frame(&["--at", "+0s", "top"]), first, "the beginning has no events");
}
