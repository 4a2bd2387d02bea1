//! `taskscope export --perfetto`, decoded by Perfetto's own bindings: the processes of the trace are those of the lives, with their times.

#[path = "../common/mod.rs"]
mod common;

use std::{
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Output},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    client::{lines, run},
    history::History,
    setting, wait,
};

/// Reads a trace, checks it, and prints it as JSON.
const ORACLE: &str = include_str!("perfetto_trace.py");

fn python() -> Option<OsString> {
    let python = env::var_os("TASKSCOPE_PERFETTO");
    if python.is_none() {
        setting::skip("TASKSCOPE_PERFETTO names no python with perfetto; cargo xtask test makes one");
    }
    python
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("no UTF-8: {}", path.display()))
}

/// Writes a trace and decodes it.
#[track_caller]
fn exported(python: &OsString, trace: &Path, arguments: &[&str]) -> Value {
    text(&run(&[&["export", "--perfetto", path(trace)], arguments].concat()));
    let output = Command::new(python).args(["-c", ORACLE]).arg(trace).output();
    let output = output.unwrap_or_else(|error| panic!("starting python: {error}"));
    serde_json::from_str(&text(&output)).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the track of a process, by its pid and the time of its beginning.
fn track_of<'a>(trace: &'a Value, pid: &Value, start: &Value) -> Option<&'a Value> {
    trace["tracks"].as_array()?.iter().find(|track| {
        let slices = track["slices"].as_array();
        let is_life = |slice: &Value| slice["from"] == *start && slice["depth"] == 0;
        track["tid"].is_null() && track["pid"] == *pid && slices.is_some_and(|all| all.iter().any(is_life))
    })
}

/// Compares each life with the slices of its process, and each death by a signal with its arrow. Returns how many have an arrow and how
/// many were zombies.
#[track_caller]
fn compare(trace: &Value, lives: &[Value]) -> (usize, usize) {
    let (mut arrows, mut zombies) = (0, 0);
    for life in lives {
        let (pid, start) = (&life["process"]["pid"], &life["start_boottime_ns"]);
        let lane = track_of(trace, pid, start).unwrap_or_else(|| panic!("not in the trace: {life}"));
        let slices = lane["slices"].as_array().map_or(&[][..], Vec::as_slice);
        let alive = slices.iter().find(|slice| slice["from"] == *start && slice["depth"] == 0);
        // If the end was not seen, the trace has the latest possible time: when the process is known to have been a zombie.
        let seen = life["zombie_duration_ns"].as_u64().filter(|_| life["zombie_duration_bound"] != "at_most");
        let latest = life["boottime_ns"].as_u64().map(|at| at - seen.unwrap_or(0));
        let ended = life["ended_boottime_ns"].as_u64().or(latest);
        assert_eq!(alive.and_then(|slice| slice["to"].as_u64()), ended, "{life}\n{lane}");
        assert_eq!(lane["name"], life["process"]["name"].as_str().unwrap_or("?"), "{life}");
        let tail = slices.iter().find(|slice| slice["name"] == "zombie");
        assert_eq!(tail.is_some(), life["zombie_duration_ns"].is_u64(), "{life}\n{lane}");
        if let Some(tail) = tail {
            zombies += 1;
            let lasted = tail["to"].as_u64().zip(tail["from"].as_u64()).map(|(to, from)| to - from);
            match life["zombie_duration_bound"].as_str() {
                None => assert_eq!(lasted, life["zombie_duration_ns"].as_u64(), "{life}\n{lane}"),
                // The reaping was not seen. The trace has its earliest possible time, the life has the longest possible duration.
                Some("at_most") => assert!(lasted <= life["zombie_duration_ns"].as_u64(), "{life}\n{lane}"),
                Some(_) => assert!(lasted >= life["zombie_duration_ns"].as_u64(), "{life}\n{lane}"),
            }
            assert_eq!(tail["from"].as_u64(), ended, "{life}");
            assert_eq!(tail["notes"]["parent_pid"], life["process"]["parent_pid"], "{life}");
        }
        let instants = lane["instants"].as_array().map_or(&[][..], Vec::as_slice);
        let moved = instants.iter().filter(|instant| instant["name"] == "reparented").count();
        assert_eq!(moved > 0, life["reparented"].as_u64().unwrap_or(0) > 0, "{life}\n{lane}");
        let signal = &life["death"]["signal"];
        let sender = &signal["sender"]["process"]["pid"];
        if sender.is_u64() {
            let is_it =
                |flow: &&Value| flow[0] == signal["boottime_ns"] && flow[1] == *sender && flow[3] == *pid;
            arrows += trace["flows"].as_array().into_iter().flatten().filter(is_it).count();
            assert!(instants.iter().any(|at| at["name"] == signal["signal_name"]), "{life}\n{lane}");
        }
    }
    (arrows, zombies)
}

/// Zombies, an orphan, threads by `sort`, a kill by the parent, a chain of execs.
const MIX: &str = "
for i in 1 2 3; do (exit $i) & done; sleep 0.2; wait
sh -c 'sleep 0.2 & sleep 0.1'
seq 50 | sort | tail -1 >/dev/null
sleep 5 & kill -9 $!; wait
sh -c 'exec sleep 0.1'
sleep 0.3";

#[test]
fn a_recording_becomes_a_trace_with_the_times_of_its_lives() {
    if setting::in_vm() {
        return setting::skip("a guest has no shell and no python");
    }
    let Some(python) = python() else { return };
    let directory = taskscope_tests::service::directory();
    let (file, trace) = (directory.join("a.rec"), directory.join("a.pftrace"));
    let attach = setting::attach();
    text(&run(&["record", "--attach", &attach, path(&file), "--", "sh", "-c", MIX]));
    let decoded = exported(&python, &trace, &[path(&file)]);
    let lives = lines(&text(&run(&["replay", path(&file), "lives"])));
    let shell =
        lives.iter().find(|life| life["process"]["name"] == "sh" && life["death"]["cause"] == "exited");
    assert!(shell.is_some() && lives.len() > 10, "{lives:?}");
    // Leave out processes that began before the recording, because not everything about them is known.
    let begun = decoded["clocks"][0]["6"].as_u64().unwrap_or(u64::MAX);
    // On a busy host an end may not be seen, and the trace and the life then bound it from different sides.
    let is_whole = |life: &&Value| {
        let is_observed = life["start_boottime_ns"].as_u64().is_some_and(|start| start >= begun);
        is_observed && life["ended_boottime_ns"].is_u64()
    };
    let whole: Vec<Value> = lives.iter().filter(is_whole).cloned().collect();
    assert!(whole.len() > 10, "{lives:?}");
    let (arrows, zombies) = compare(&decoded, &whole);
    assert!(arrows >= 1, "the shell killed its child: {}", decoded["flows"]);
    assert!(zombies >= 3, "the shell waited late");
    // Each thread and each exec among the events must be in the trace, on the track of its thread.
    for event in lines(&text(&run(&["replay", path(&file), "events", "--action", "execed,forked"]))) {
        let thread = &event["thread"]["id"];
        let tracks = decoded["tracks"].as_array().into_iter().flatten();
        let mut own =
            tracks.filter(|track| track["tid"] == *thread && track["pid"] == event["process"]["pid"]);
        let is_there = own.any(|track| match event["event"]["action"].as_str() {
            Some("execed") => {
                let at = |instant: &Value| instant["name"] == "exec" && instant["at"] == event["boottime_ns"];
                track["instants"].as_array().is_some_and(|all| all.iter().any(at))
            }
            _ => track["slices"].as_array().is_some_and(|all| !all.is_empty()),
        });
        assert!(is_there, "{event}");
    }
    // A second export gives the same bytes, and an existing file is not overwritten.
    let again = directory.join("b.pftrace");
    exported(&python, &again, &[path(&file)]);
    assert!(fs::read(&trace).ok() == fs::read(&again).ok(), "two exports differ");
    let refused = run(&["export", "--perfetto", path(&trace), path(&file)]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && stderr.contains("exists and is not empty"), "{stderr}");
    // What is no recording leaves no trace behind.
    let none = directory.join("c.pftrace");
    let refused = run(&["export", "--perfetto", path(&none), "/etc/passwd"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && stderr.contains("not a recording"), "{stderr}");
    assert!(!none.exists());
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn the_history_becomes_a_trace_with_and_without_a_daemon() {
    if setting::in_vm() {
        return setting::skip("a guest has no python");
    }
    let Some(python) = python() else { return };
    let history = History::new();
    let service = history.start(&["--dead-lives", "64"]);
    let mut held = scenario("never-waits", &[]);
    held.pause("owed");
    let parent = held.facts().role("parent").pid;
    scenario("burst", &["300"]).finish();
    let socket = service.socket();
    // The daemon applies the last releases a moment after the parent has reaped the processes. On a kernel that hides tasks, one
    // release in a thousand is not seen.
    wait::until("the lives of the burst are reported", || {
        lines(&text(&run(&["lives", "--since", "10m", "--socket", path(&socket)]))).len() > 290
    });
    let trace = history.above().join("daemon.pftrace");
    let decoded = exported(&python, &trace, &["--since", "10m", "--socket", path(&socket)]);
    let asked = text(&run(&["lives", "--since", "10m", "--socket", path(&socket)]));
    let lives = lines(&asked);
    // Lives that came after the trace was made.
    let is_there =
        |life: &&Value| track_of(&decoded, &life["process"]["pid"], &life["start_boottime_ns"]).is_some();
    let in_trace: Vec<Value> = lives.iter().filter(is_there).cloned().collect();
    assert!(in_trace.len() > 290, "{} of {} lives", in_trace.len(), lives.len());
    // The slice of the zombie that still exists lasts until now, and names the parent that has not waited for it.
    let tracks = decoded["tracks"].as_array().into_iter().flatten();
    let owed = tracks.flat_map(|track| track["slices"].as_array().into_iter().flatten()).find(|slice| {
        slice["name"] == "zombie"
            && slice["notes"]["parent_pid"] == parent
            && slice["notes"]["goes_on"] == true
    });
    assert!(owed.is_some(), "the zombie of {parent} is not in the trace");
    held.go();
    held.finish();
    service.stop_clean();
    let trace = history.above().join("directory.pftrace");
    let decoded = exported(&python, &trace, &["--from", path(&history.path())]);
    let lives = lines(&history.lines("lives").join("\n"));
    assert!(lives.len() > 290, "{}", lives.len());
    compare(&decoded, &lives);
    // The second clock is the wall clock: that of the first life on disk.
    let clocks = &decoded["clocks"][0];
    let wall_ns = clocks["1"].as_u64().zip(clocks["6"].as_u64());
    assert!(wall_ns.is_some_and(|(wall, boot)| wall > boot && wall > 1_600_000_000_000_000_000), "{clocks}");
}
