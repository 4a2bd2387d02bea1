//! Each fallible call of the daemon fails, once and permanently: the daemon names what failed, does not end, and its tree is
//! right again once the fault is removed.
//!
//! Needs a taskscope with the feature `failpoints`: `TASKSCOPE_FAILPOINTS_BIN`, as `cargo xtask test` builds it.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use taskscope_tests::{
    cgroup::Cgroup,
    faults::{Daemon, questions, truth},
    observer::Observer,
    scenario::Scenario,
    setting, spawner, wait,
};

/// Longer than a comparison with /proc, a walk over the cgroups, and the delay after a failed comparison.
const DEADLINE: Duration = Duration::from_secs(40);

/// `EIO`, an errno that none of these calls handles in a special way.
const EIO: i32 = libc::EIO;

fn scenario(name: &str, args: &[&str], at: &str) -> Scenario {
    let mut scenario = Scenario::start(env!("CARGO_BIN_EXE_scenario"), name, args);
    scenario.pause(at);
    scenario
}

/// Returns the program with failpoints; without one these tests are skipped.
fn program() -> Option<PathBuf> {
    let program = env::var_os("TASKSCOPE_FAILPOINTS_BIN").map(PathBuf::from);
    if program.is_none() {
        setting::skip("TASKSCOPE_FAILPOINTS_BIN names no taskscope with the feature failpoints");
    }
    program
}

/// Returns the path of a test's control file. The name has no dot, because other names are derived from it.
fn control(name: &str) -> PathBuf {
    let name = name.replace('.', "-");
    env::temp_dir().join(format!("taskscope-failpoints-{}-{name}", std::process::id()))
}

/// Writes which failpoints are active, by a rename, because the daemon reads the file at any time.
#[track_caller]
fn ask_for(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    written.unwrap_or_else(|error| panic!("writing {}: {error}", file.display()));
}

/// Waits until the daemon's log contains a text after its first `from` bytes.
#[track_caller]
fn says(daemon: &Daemon, from: usize, text: &str) {
    wait::until_ok(|| {
        let log = daemon.log();
        if log.get(from..).is_some_and(|log| log.contains(text)) {
            return Ok(());
        }
        let status = daemon.has_ended();
        assert!(status.is_none(), "the daemon has ended with {status:?}:\n{}", daemon.log());
        Err(format!("its log does not contain `{text}`:\n{log}"))
    });
}

/// Whether a response during the fault is acceptable: a complete answer, or an error that names what failed.
fn is_answer(status: u16, body: &str) -> bool {
    let error = serde_json::from_str::<serde_json::Value>(body).ok();
    status == 200
        || error.is_some_and(|error| error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()))
}

/// What happens to queries during a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Each query has a complete answer, or an error that names what failed.
    IsAnswered,
    /// The connection may end before the answer.
    BreaksOff,
}

/// Calls [`survives_asking`] with the rule that every query is answered.
#[track_caller]
fn survives_action(point: &str, action: &str, named: Option<&str>, provoke: &dyn Fn()) {
    survives_asking(Asking::IsAnswered, point, action, named, provoke);
}

/// Makes a failpoint fail, with an action of the crate `fail`, while processes begin and end and queries are made. `named` is the
/// text in the log that names what failed; `None` if nothing is logged.
#[track_caller]
fn survives_asking(asking: Asking, point: &str, action: &str, named: Option<&str>, provoke: &dyn Fn()) {
    let Some(program) = program() else { return };
    let once = if action.starts_with("1*") { "once" } else { "lasting" };
    let file = control(&format!("{point}-{once}"));
    ask_for(&file, "");
    let zombie = scenario("zombie", &[], "zombie");
    let threads = scenario("many-threads", &["30"], "all-alive");
    let (parent, child) = (zombie.facts().role("scenario").pid, zombie.facts().role("child").pid);
    // This socket stands for a service manager that reads nothing; it has room for the notifications of one test.
    let manager_path = file.with_extension("notify");
    let manager = UnixDatagram::bind(&manager_path);
    let manager = manager.unwrap_or_else(|error| panic!("{}: {error}", manager_path.display()));
    // The sandbox would deny the control file.
    let args = ["--audit-every", "1s", "--blocked-after", "1s", "--no-sandbox"];
    let started = Daemon::start_program(&program, &setting::attach(), &args, |command, _| {
        command.env("TASKSCOPE_FAILPOINTS", &file).env("NOTIFY_SOCKET", &manager_path);
    });
    let daemon = started.unwrap_or_else(|why| panic!("{why}"));
    let from = daemon.log().len();
    ask_for(&file, &format!("{point}={action}\n"));
    says(&daemon, from, "failpoints: taken");
    for question in questions(parent, child) {
        let (status, body) = match daemon.get(&question.path) {
            Ok(answer) => answer,
            Err(_) if asking == Asking::BreaksOff && daemon.has_ended().is_none() => continue,
            Err(wrong) => panic!("{wrong}\n{}", daemon.log()),
        };
        assert!(is_answer(status, &body), "{}: {status} {body}", question.path);
    }
    provoke();
    Scenario::start(env!("CARGO_BIN_EXE_scenario"), "burst", &["300"]).finish();
    says(&daemon, from, &format!("failpoint {point}: fails as a test asked"));
    if let Some(named) = named {
        says(&daemon, from, named);
    }
    let lifted = daemon.log().len();
    ask_for(&file, "");
    says(&daemon, lifted, "failpoints: taken");
    let roots = [parent, threads.facts().role("scenario").pid];
    let right = truth::becomes_proc(&daemon, &roots).and_then(|()| truth::has_the_zombies_of_proc(&daemon));
    right.unwrap_or_else(|wrong| panic!("{wrong}\n{}", daemon.log()));
    for question in questions(parent, child) {
        daemon.ask(&question).unwrap_or_else(|wrong| panic!("{wrong}\n{}", daemon.log()));
    }
    let ended = daemon.stop();
    drop(manager);
    for path in [&file, &manager_path] {
        // The directory is one for temporary files, so it may stay.
        let _ = fs::remove_file(path);
    }
    ended.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Makes a failpoint fail once, and then permanently. `provoke` makes the daemon call the function, if the passing of time does
/// not.
#[track_caller]
fn survives_provoked(point: &str, named: Option<&str>, provoke: &dyn Fn()) {
    for action in [format!("1*return({EIO})"), format!("return({EIO})")] {
        survives_action(point, &action, named, provoke);
    }
}

#[track_caller]
fn survives(point: &str, named: Option<&str>) {
    survives_provoked(point, named, &|| {});
}

#[test]
fn a_file_of_proc_that_cannot_be_read_ends_nothing() {
    survives("proc.read", None);
}

#[test]
fn a_directory_of_proc_that_cannot_be_listed_ends_nothing() {
    survives("proc.list", None);
}

#[test]
fn a_cgroup_that_cannot_be_listed_ends_nothing() {
    // The record of a new cgroup has no room for this name, so that the daemon searches for it when a process is forked there.
    let name = format!("taskscope-failpoint-{}-{}", std::process::id(), "x".repeat(128));
    if Cgroup::make(&[&name]).is_none() {
        setting::skip(format_args!("no cgroup of the v2 hierarchy can be made here"));
        return;
    }
    survives_provoked("cgroup.list", Some("listing "), &|| {
        let Some(cgroup) = Cgroup::make(&[&name]) else { panic!("making {name} worked before") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_scenario"));
        command.arg("list").stdout(Stdio::null());
        cgroup.begin(&mut command);
        let mut child = spawner::spawn(command).unwrap_or_else(|error| panic!("making a process: {error}"));
        child.wait().unwrap_or_else(|error| panic!("waiting for it: {error}"));
    });
}

#[test]
fn limits_of_the_host_that_cannot_be_read_end_nothing() {
    survives("host.read", None);
}

#[test]
fn a_history_that_cannot_be_written_is_reported_and_continues_later() {
    let Some(program) = program() else { return };
    let file = control("history-write");
    ask_for(&file, "");
    let directory = file.with_extension("history");
    fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let path = directory.display().to_string();
    let args = ["--history", path.as_str(), "--no-sandbox"];
    let started = Daemon::start_program(&program, &setting::attach(), &args, |command, _| {
        command.env("TASKSCOPE_FAILPOINTS", &file);
    });
    let daemon = started.unwrap_or_else(|why| panic!("{why}"));
    let burst = || Scenario::start(env!("CARGO_BIN_EXE_scenario"), "burst", &["300"]).finish();
    let from = daemon.log().len();
    ask_for(&file, &format!("history.write=return({EIO})\n"));
    says(&daemon, from, "failpoints: taken");
    burst();
    says(&daemon, from, "failpoint history.write: fails as a test asked");
    says(&daemon, from, "history: writing to ");
    let lifted = daemon.log().len();
    ask_for(&file, "");
    says(&daemon, lifted, "failpoints: taken");
    wait::until("the history is written again", || {
        burst();
        daemon.log().contains("history: writing works again")
    });
    let right = truth::has_the_zombies_of_proc(&daemon);
    right.unwrap_or_else(|wrong| panic!("{wrong}\n{}", daemon.log()));
    let ended = daemon.stop();
    // The directory is one for temporary files, so it may stay.
    let _ = fs::remove_dir_all(&directory);
    let _ = fs::remove_file(&file);
    ended.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn an_iterator_that_cannot_be_opened_ends_nothing() {
    survives("iterator.open", None);
}

#[test]
fn an_iterator_that_cannot_be_read_ends_nothing() {
    survives("iterator.read", None);
}

#[test]
fn a_buffer_without_memory_ends_nothing() {
    survives("buffer", None);
}

#[test]
fn counters_that_cannot_be_read_end_nothing() {
    survives("map.counters", Some("reading the map COUNTERS"));
}

#[test]
fn a_map_that_cannot_be_written_ends_nothing() {
    survives("map.wanted", None);
}

#[test]
fn a_ring_that_cannot_be_waited_for_is_still_polled() {
    survives("ring.wait", Some("waiting for the ring buffer"));
}

#[test]
fn a_timer_that_cannot_be_waited_for_ends_nothing() {
    survives("timer.wait", Some("waiting for"));
}

#[test]
fn a_service_manager_that_cannot_be_notified_ends_nothing() {
    survives("notify", Some("notifying systemd"));
}

#[test]
fn a_connection_that_cannot_be_accepted_is_accepted_later() {
    survives_action("accept", &format!("1*return({EIO})"), Some("accepting a connection"), &|| {});
}

/// Reads an answer; `None` if it does not come in time.
fn answer_of(stream: &mut UnixStream) -> Option<String> {
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => Some(text),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
        Err(error) => panic!("reading an answer: {error}"),
    }
}

#[test]
fn clients_that_connect_while_accepting_fails_are_answered_after_that() {
    let Some(program) = program() else { return };
    let file = control("accept-lasting");
    ask_for(&file, "");
    let daemon = Daemon::start_program(&program, &setting::attach(), &["--no-sandbox"], |command, _| {
        command.env("TASKSCOPE_FAILPOINTS", &file);
    });
    let daemon = daemon.unwrap_or_else(|why| panic!("{why}"));
    let from = daemon.log().len();
    ask_for(&file, &format!("accept=return({EIO})\n"));
    says(&daemon, from, "failpoints: taken");
    let mut asked = Vec::new();
    // The daemon may have accepted the first client already; the others are in the queue of the socket.
    for _ in 0..3 {
        let stream = UnixStream::connect(daemon.directory().join("socket"));
        let mut stream = stream.unwrap_or_else(|error| panic!("connecting: {error}"));
        stream
            .write_all(b"GET /v1/status HTTP/1.0\r\n\r\n")
            .and_then(|()| stream.set_read_timeout(Some(Duration::from_millis(200))))
            .unwrap_or_else(|error| panic!("asking: {error}"));
        asked.push(stream);
    }
    says(&daemon, from, "failpoint accept: fails as a test asked");
    says(&daemon, from, "new clients wait until accepting works again");
    let mut waiting: Vec<_> = asked
        .into_iter()
        .filter_map(|mut stream| answer_of(&mut stream).is_none().then_some(stream))
        .collect();
    assert!(waiting.len() >= 2, "{} wait", waiting.len());
    Scenario::start(env!("CARGO_BIN_EXE_scenario"), "burst", &["300"]).finish();
    ask_for(&file, "");
    for stream in &mut waiting {
        let patient = stream.set_read_timeout(Some(DEADLINE));
        patient.unwrap_or_else(|error| panic!("setting a timeout: {error}"));
        let answer = answer_of(stream).unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}\n{}", daemon.log());
    }
    let right = truth::has_the_zombies_of_proc(&daemon);
    right.unwrap_or_else(|wrong| panic!("{wrong}\n{}", daemon.log()));
    let ended = daemon.stop();
    // The directory is one for temporary files, so it may stay.
    let _ = fs::remove_file(&file);
    ended.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn an_answer_that_cannot_be_written_ends_that_connection_only() {
    for action in [format!("1*return({EIO})"), format!("return({EIO})")] {
        survives_asking(Asking::BreaksOff, "socket.write", &action, None, &|| {});
    }
}

#[test]
fn a_canary_that_cannot_be_made_ends_nothing() {
    survives("clone", Some("making a canary process"));
    for errno in [libc::EAGAIN, libc::ENOMEM] {
        survives_action("clone", &format!("return({errno})"), None, &|| {});
    }
}

/// Starts taskscope with a failpoint that fails from the beginning; it must end by itself and name what failed.
#[track_caller]
fn refuses_to_start(args: &[&str], point: &str, named: &str) {
    let Some(program) = program() else { return };
    let file = control(point);
    ask_for(&file, &format!("{point}=return({EIO})\n"));
    let mut command = Command::new(program);
    command.args(args).args(["--attach", &setting::attach()]).env("TASKSCOPE_FAILPOINTS", &file);
    let observer = Observer::launch_with(command, Stdio::piped());
    let mut blinked = 0;
    // Writing fails only if there is an event to write.
    while !observer.ends_within(Duration::from_millis(100)) && blinked < 300 {
        spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
        blinked += 1;
    }
    let end = observer.wait(setting::deadline());
    let _ = fs::remove_file(&file);
    assert_eq!(end.code().map(|code| code > 0), Some(true), "{}", end.text());
    assert!(end.text().contains(named) && !end.text().contains("panicked"), "{}", end.text());
}

#[test]
fn without_btf_it_reports_that_and_ends() {
    refuses_to_start(
        &["events"],
        "btf.read",
        "reading the kernel's type information from /sys/kernel/btf/vmlinux",
    );
}

#[test]
fn without_a_thread_for_its_output_it_reports_that_and_ends() {
    refuses_to_start(&["events"], "thread.spawn", "preparing to write events");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    refuses_to_start(&["events"], "stdout.write", "writing to standard output");
}
