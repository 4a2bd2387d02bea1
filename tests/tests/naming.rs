//! Names that a task chose to confuse who reads them.

mod common;

use std::{io::Read as _, process::Command};

use common::scenario;
use taskscope_tests::{
    life::forked_by,
    matcher::event,
    observer::{Observer, shared},
    setting,
    skipped::attempts,
};

fn unhex(text: &str) -> Vec<u8> {
    let byte =
        |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_else(|error| panic!("{text}: {error}"));
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn a_renamed_task_is_seen_with_its_new_name_from_then_on() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("rename", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let child = facts.role("child");
        view.expect(
            event("renamed").of(&child).field("task.old_name", "scenario").field("task.new_name", "renamed"),
        )
        .soon();
        view.expect(
            event("exited").of(&child).field("process.name", "renamed").field("thread.name", "renamed"),
        )
        .soon();
        view.is_normal(
            &facts,
            &[("child", forked_by("scenario").does("renamed name=renamed").waited_for_by("scenario"))],
        );
    });
}

#[test]
fn a_hostile_comm_is_whole_in_json_and_its_bytes_are_exact() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("hostile-comm", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let child = facts.role("child");
        let asked: Vec<_> = facts.all("renamed").collect();
        assert!(asked.len() >= 8, "the scenario did not do what this test is about");
        for fact in asked {
            let hex = fact["comm"].as_str().unwrap();
            let bytes = unhex(hex);
            let renamed = event("renamed").of(&child).between(
                "boottime_ns",
                fact["before_ns"].as_u64().unwrap(),
                fact["after_ns"].as_u64().unwrap(),
            );
            let matcher = match String::from_utf8(bytes.clone()) {
                Ok(name) => renamed
                    .field("process.name", name.clone())
                    .field("task.new_name", name)
                    .absent("process.name_bytes"),
                // What is no UTF-8 is shown with U+FFFD, and its bytes beside it.
                Err(_) => renamed
                    .field("process.name", String::from_utf8_lossy(&bytes).into_owned())
                    .field("process.name_bytes", hex)
                    .field("task.new_name_bytes", hex),
            };
            view.expect(matcher).soon();
        }
    });
}

#[test]
fn a_hostile_comm_can_neither_colour_nor_forge_a_line_of_text() {
    attempts(|| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(setting::taskscope());
        command.args(["events", "--format", "text", "--attach", &setting::attach()]);
        let observer = Observer::start_silent(command, writer.into());
        let output = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let facts = scenario("hostile-comm", &[]).finish();
        observer.signal(libc::SIGTERM);
        observer.wait(setting::deadline()).assert_clean();
        let bytes = output.join().unwrap().unwrap();
        let text = String::from_utf8(bytes).expect("text for a terminal is UTF-8");
        let control: Vec<char> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(control.is_empty(), "control characters reach the terminal: {control:?}");
        let pid = facts.role("child").pid.to_string();
        let mut renamed = 0;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let time: Vec<&str> = words[0].split(':').collect();
            assert!(time.len() == 3 && time[0].len() == 2, "not a line of taskscope: {line:?}");
            renamed += usize::from(words[1] == "renamed" && words[2] == pid);
        }
        assert_eq!(renamed, facts.all("renamed").count(), "one line for each name:\n{text}");
    });
}
