//! Names that a task chooses to confuse readers of output.

#[path = "../common/mod.rs"]
mod common;

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use common::scenario;
use taskscope_tests::{
    facts::Facts,
    life::forked_by,
    matcher::event,
    observer::{Observer, shared},
    service::Service,
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
                // Bytes that are not UTF-8 are shown as U+FFFD, and the exact bytes are in another field.
                Err(_) => renamed
                    .field("process.name", String::from_utf8_lossy(&bytes).into_owned())
                    .field("process.name_bytes", hex)
                    .field("task.new_name_bytes", hex),
            };
            view.expect(matcher).soon();
        }
    });
}

/// Returns everything that `taskscope events` writes while a scenario runs, and the facts of the scenario.
fn written(format: &str) -> (Vec<u8>, Facts) {
    let (mut reader, writer) = std::io::pipe().unwrap_or_else(|error| panic!("a pipe: {error}"));
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--format", format, "--attach", &setting::attach()]);
    let observer = Observer::start_silent(command, writer.into());
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let facts = scenario("hostile-comm", &[]).finish();
    observer.signal(libc::SIGTERM);
    observer.wait(setting::deadline()).assert_clean();
    let output = output.join().unwrap_or_else(|_| panic!("the reader panicked"));
    (output.unwrap_or_else(|error| panic!("reading what it writes: {error}")), facts)
}

/// Whether a character makes a line look different from its bytes: control characters, and characters that reverse, hide or end
/// text.
fn is_misleading(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn jq_reads_every_name_back_and_no_line_is_misleading() {
    attempts(|| {
        let (bytes, facts) = written("json");
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        let misleading: Vec<char> = text.chars().filter(|c| is_misleading(*c)).collect();
        assert!(misleading.is_empty(), "misleading characters: {misleading:?}");
        // jq prints code points, because a shell variable cannot hold these names.
        let wanted = format!(
            r#"select(.event.action == "renamed" and .process.pid == {})
               | [.task.new_name_bytes // "", (.task.new_name | explode | map(tostring) | join(","))] | join(" ")"#,
            facts.role("child").pid
        );
        let jq =
            Command::new("jq").args(["-r", &wanted]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut jq = match jq {
            Ok(jq) => jq,
            Err(error) => {
                setting::skip(format_args!("jq: {error}"));
                return;
            }
        };
        let mut input = jq.stdin.take().unwrap();
        let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let read = jq.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(read.status.success(), "jq refuses a line");
        let read = String::from_utf8(read.stdout).unwrap();
        let names: Vec<Vec<u8>> = read
            .lines()
            .map(|line| match line.split_once(' ').unwrap() {
                ("", points) => {
                    let points = points.split(',').map(|point| char::from_u32(point.parse().unwrap()));
                    points.collect::<Option<String>>().unwrap().into_bytes()
                }
                (hex, _) => unhex(hex),
            })
            .collect();
        let asked: Vec<Vec<u8>> =
            facts.all("renamed").map(|fact| unhex(fact["comm"].as_str().unwrap())).collect();
        assert!(asked.len() >= 13, "the scenario did not do what this test is about");
        assert_eq!(names, asked);
    });
}

#[test]
fn a_parent_with_the_name_of_the_series_other_has_a_series_of_its_own() {
    let service = Service::start(&["--top", "1000"]);
    let mut scenario = scenario("namesakes", &[]);
    scenario.pause("named");
    let zombies = |samples: &std::collections::BTreeMap<String, f64>, parent: &str| {
        let label = format!(",parent=\"{parent}\",");
        let of = |name: &str| name.starts_with("taskscope_parent_zombies{") && name.contains(&label);
        samples.iter().filter(|(name, _)| of(name)).map(|(_, value)| *value).sum::<f64>()
    };
    // The exposition format escapes a backslash with another one.
    let names = [r"\\x6fther", r"\\x75nknown", r"\\xff", r"\\x5cxff"];
    // Zombies of other tests that have just died count as other until they are reaped.
    service.until("a zombie of each parent, and each parent with a name of its own", |samples| {
        names.iter().all(|name| (zombies(samples, name) - 1.0).abs() < 0.5) && zombies(samples, "other") < 0.5
    });
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_hostile_comm_can_neither_colour_nor_forge_a_line_of_text() {
    attempts(|| {
        let (bytes, facts) = written("text");
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
