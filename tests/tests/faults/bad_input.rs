//! What taskscope does when it cannot do its work: a clear message, a documented exit code, nothing left behind.

#[path = "../common/mod.rs"]
mod common;

use std::{
    io::{self, PipeReader},
    process::Command,
    time::Duration,
};

use common::scenario;
use taskscope_tests::{
    observer::{End, Observer},
    programs, setting, spawner, wait,
};

const FAILURE: i32 = 1;
const USAGE: i32 = 2;
const PRIVILEGE: i32 = 3;

fn taskscope(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(args);
    command
}

fn events() -> Command {
    taskscope(&["events", "--attach", &setting::attach()])
}

/// Runs a command that must end by itself.
#[track_caller]
fn end_of(command: Command) -> End {
    Observer::launch(command).wait(setting::deadline())
}

#[test]
fn an_unknown_flag_is_named_and_is_wrong_use() {
    let end = end_of(taskscope(&["events", "--no-such-flag"]));
    assert_eq!(end.code(), Some(USAGE), "{}", end.text());
    assert!(end.text().contains("--no-such-flag"), "{}", end.text());
}

#[test]
fn an_unknown_subcommand_is_named_and_is_wrong_use() {
    let end = end_of(taskscope(&["evnets"]));
    assert_eq!(end.code(), Some(USAGE), "{}", end.text());
    assert!(end.text().contains("evnets"), "{}", end.text());
}

#[test]
fn an_unknown_rung_family_is_named_and_is_wrong_use() {
    let end = end_of(taskscope(&["events", "--attach", "uprobe"]));
    assert_eq!(end.code(), Some(USAGE), "{}", end.text());
    assert!(end.text().contains("uprobe") && end.text().contains("tracepoint"), "{}", end.text());
}

#[test]
fn without_privilege_it_says_which_one_is_missing_and_how_to_get_it() {
    let mut command = events();
    spawner::without_privileges(&mut command);
    let end = end_of(command);
    let text = end.text();
    assert_eq!(end.code(), Some(PRIVILEGE), "{text}");
    assert!(text.contains("root") || text.contains("CAP_BPF"), "the error names no remedy: {text}");
    assert_eq!(end.summary(), None, "it observed without privileges: {text}");
}

/// Starts `events` with a pipe as stdout; only the returned reader keeps the pipe open.
#[track_caller]
fn start_with_pipe() -> (Observer, PipeReader) {
    let (reader, writer) = io::pipe().unwrap_or_else(|error| panic!("making a pipe: {error}"));
    (Observer::start_silent(events(), writer.into()), reader)
}

#[test]
fn a_closed_stdout_ends_it_with_0() {
    let (observer, reader) = start_with_pipe();
    drop(reader);
    // The next event finds the pipe closed.
    spawner::blink().unwrap();
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert!(end.summary().is_some(), "no summary: {}", end.text());
}

#[test]
fn ctrl_c_ends_it_with_0() {
    let observer = Observer::start(&[]);
    observer.signal(libc::SIGINT);
    observer.wait(setting::deadline()).assert_clean();
}

#[test]
fn a_second_ctrl_c_ends_it_while_its_output_is_not_read() {
    let (observer, reader) = start_with_pipe();
    let held = programs::held_by(observer.pid());
    // These events exceed what a pipe holds, so taskscope waits for a reader now.
    scenario("burst", &["2000"]).finish();
    // Two pending signals merge into one, so the test sends the signal repeatedly, as a user would.
    wait::until_ok(|| {
        if observer.ends_within(Duration::from_millis(200)) {
            return Ok(());
        }
        observer.signal(libc::SIGINT);
        Err(format!("it does not end:\n{}", observer.log().text()))
    });
    let ended = observer.wait(setting::deadline());
    assert_eq!(ended.code(), Some(FAILURE), "{}", ended.text());
    assert!(ended.text().contains("error:"), "it lost events and does not report that: {}", ended.text());
    programs::assert_gone(&held);
    drop(reader);
}

#[test]
fn its_programs_are_detached_at_its_end() {
    let observer = Observer::start(&[]);
    let held = programs::held_by(observer.pid());
    assert!(held.len() >= 5, "five hooks and more, but only these programs: {held:?}");
    observer.stop();
    programs::assert_gone(&held);
}

#[test]
fn its_programs_are_detached_when_it_is_killed() {
    let observer = Observer::start(&[]);
    let held = programs::held_by(observer.pid());
    assert!(!held.is_empty());
    observer.signal(libc::SIGKILL);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), None, "{}", end.text());
    programs::assert_gone(&held);
}
