//! The documentation shows what is printed: examples of --help run, and README's output is real.

#[path = "../common/mod.rs"]
mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use common::scenario;
use taskscope_tests::{directory::Directory, scenario::Scenario, service::Service, setting, wait};

const README: &str = include_str!("../../../README.md");

fn run(args: &[&str]) -> String {
    run_in(100, args)
}

fn run_in(columns: usize, args: &[&str]) -> String {
    let mut command = Command::new(setting::taskscope());
    command.args(args).env("LC_ALL", "C.UTF-8").env("COLUMNS", columns.to_string());
    let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the block of README that begins with this command, without the command.
#[track_caller]
fn shown(command: &str) -> String {
    let start = format!("\n```\n$ {command}\n");
    let at = README.find(&start).unwrap_or_else(|| panic!("README does not show `$ {command}`"));
    let rest = &README[at + start.len()..];
    rest.split("```").next().unwrap_or_default().to_owned()
}

/// Returns the words of a text, with placeholders for what differs between runs: numbers, durations, kernel functions, line breaks.
fn normal(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut normal = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if normal.ends_with('N') => {}
                '0'..='9' => normal.push('N'),
                '.' if normal.ends_with('N') => normal.push('.'),
                c => normal.push(c),
            }
        }
        let normal = normal.replace("N.N", "N");
        let is_unit =
            |word: &str| ["us", "ms", "s", "min", "h", "d"].contains(&word.trim_end_matches([',', ':', ';']));
        match words.last_mut() {
            // `N min N s` is one duration, and a line may end anywhere in it.
            Some(last) if is_unit(&normal) && last.ends_with('N') => {
                let end = normal.trim_start_matches(char::is_alphabetic).to_owned();
                last.pop();
                last.push('T');
                last.push_str(&end);
            }
            Some(last) if normal == "N" && last.ends_with('T') => {
                last.pop();
                last.push('N');
            }
            _ => words.push(normal),
        }
    }
    // The entity id contains the boot id.
    for at in 1..words.len() {
        if words[at - 1] == "id" {
            words[at] = "ID".into();
        }
    }
    // The name of the new reaper is known if init's is.
    if let Some(at) = (1..words.len()).find(|&at| words[at - 1] == "reparented" && words[at] == "to") {
        let skipped = words[at..].iter().position(|word| word == "which").unwrap_or_default();
        words.drain(at..at + skipped);
    }
    let sleeps =
        |at: usize, words: &[String]| words[at..].starts_with(&["it".into(), "sleeps".into(), "in".into()]);
    while let Some(at) = (0..words.len()).find(|&at| sleeps(at, &words)) {
        words.drain(at..(at + 4).min(words.len()));
    }
    words.iter().map(|word| word.trim_end_matches([',', ';']).to_owned()).collect()
}

/// The number of words that may be printed in addition, on a host with systemd or containers.
const PLACES: usize = 2;

#[track_caller]
fn assert_printed(command: &str, printed: &str) {
    assert_same(&shown(command), printed, command);
}

#[track_caller]
fn assert_same(shown: &str, printed: &str, what: &str) {
    let (shown, words) = (normal(shown), normal(printed));
    let mut rest = words.iter();
    let missing = shown.iter().find(|word| !rest.any(|printed| printed == *word));
    assert_eq!(missing, None, "README shows this for `{what}`, but the output is:\n{printed}");
    assert!(words.len() <= shown.len() + PLACES, "README shows less for `{what}`; the output is:\n{printed}");
}

fn owing(name: &str, at: &str) -> Scenario {
    let mut scenario = scenario(name, &[]);
    scenario.pause(at);
    // A zombie gets a verdict only some time after its death.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_millis(1100) {
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    scenario
}

#[test]
fn readme_shows_zombies_as_printed() {
    let mut scenario = owing("never-waits", "owed");
    let parent = scenario.facts().role("parent").pid;
    let printed = run(&["zombies", "--alone"]);
    let of_ours = |line: &&str| line.contains(&format!("(pid {parent})"));
    let row = printed.lines().find(of_ours).unwrap_or_else(|| panic!("no row of pid {parent} in\n{printed}"));
    // Other parents may have zombies too: only the row of this parent is compared.
    let detail =
        printed.split("\n\n").skip(1).find(|part| part.contains(&format!("(pid {parent}) has never")));
    let detail = detail.unwrap_or_else(|| panic!("not among the parents with details:\n{printed}"));
    let shown = shown("taskscope zombies");
    let (table, rest) = shown.split_once("\n\n").unwrap_or_default();
    assert_same(table.lines().last().unwrap_or_default(), row, "taskscope zombies");
    assert_eq!(normal(table.lines().next().unwrap_or_default())[..2], ["ZOMBIES", "OLDEST"]);
    assert_same(rest.split("\n\n").next().unwrap_or_default(), detail, "taskscope zombies");
    scenario.go();
    scenario.finish();
}

#[test]
fn readme_shows_explain_as_printed() {
    let mut scenario = owing("foreign-tracer", "held");
    let tracee = scenario.facts().role("tracee").pid.to_string();
    assert_printed("taskscope explain 6689", &run(&["explain", "--alone", &tracee]));
    scenario.go();
    scenario.finish();
}

#[test]
fn readme_shows_the_tree_as_printed() {
    let mut scenario = owing("never-waits", "owed");
    let parent = scenario.facts().role("parent").pid.to_string();
    assert_printed("taskscope tree 6489", &run(&["tree", "--alone", &parent]));
    scenario.go();
    scenario.finish();
}

#[test]
fn readme_shows_the_usage_of_a_tree_as_printed() {
    let service = Service::start(&[]);
    let mut scenario = scenario("tree-usage", &[]);
    if !scenario.pause_or_skip("counted") {
        return;
    }
    let worker = scenario.facts().role("worker").pid.to_string();
    let socket = service.socket();
    // On the tracepoint rung the last reaping is reported after an RCU grace period.
    let printed = wait::until_ok(|| {
        let printed = run(&["tree", "--usage", "--socket", &socket.to_string_lossy(), &worker]);
        if printed.contains(" 10  ") {
            Ok(printed)
        } else {
            Err(format!("not ten ended children:\n{printed}"))
        }
    });
    assert_printed("taskscope tree --usage 1507", &printed);
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn the_examples_of_help_run() {
    if setting::in_vm() {
        setting::skip("a guest has no shell, and the examples are the same everywhere");
        return;
    }
    let has_jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_ok();
    let directory = setting::taskscope().parent().map(Path::to_owned).unwrap_or_default();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let me = std::process::id().to_string();
    // An example may write a file.
    let scratch = Directory::new("examples");
    for subcommand in ["tree", "zombies", "explain"] {
        let help = run_in(200, &[subcommand, "--help"]);
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
        let lines: Vec<&str> = examples.lines().take_while(|line| line.starts_with("  taskscope")).collect();
        assert!(lines.len() >= 3, "{subcommand}: {help}");
        for line in lines {
            // After three blanks the line says what the command is for.
            let command = line.trim().split("   ").next().unwrap_or_default().replace("4711", &me);
            let command = command.replace("nginx.service", &me).replace("web.service", &me);
            let (command, is_piped) = match command.split_once(" | ") {
                Some((command, _)) if !has_jq => (command.to_owned(), false),
                Some(_) => (command.clone(), true),
                None => (command.clone(), false),
            };
            let command = command.replace("--observe 10s", "--observe 100ms");
            // timeout(1) stops a command that runs forever, which counts as a success.
            let seconds = if command.contains("--watch") { "8" } else { "60" };
            let output = Command::new("timeout")
                .args(["--preserve-status", "--signal=TERM", seconds, "sh", "-c", &format!("exec {command}")])
                .env("PATH", &path)
                .current_dir(&scratch.0)
                .output()
                .unwrap_or_else(|error| panic!("{command}: {error}"));
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let fine: &[i32] = match () {
                // No daemon here has run for ten minutes.
                () if command.contains("--at") => &[1],
                () if is_piped => &[0],
                () => &[0, 9],
            };
            assert!(
                output.status.code().is_some_and(|code| fine.contains(&code)),
                "`{command}` ended with {:?}: {stderr}",
                output.status
            );
        }
    }
}
