//! Runs the commands that taskscope prints as remedies, as an operator would.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{service::Service, setting};

/// Runs a command of a remedy, and returns what it prints. In a guest, which has no shell, this interprets `kill`, `echo TEXT > FILE`,
/// `prlimit --pid PID --nproc=N` and `cat DIRECTORY/*/FILE | sort | uniq -c`.
///
/// # Panics
///
/// If the command fails.
#[track_caller]
pub fn run(command: &str) -> String {
    if setting::in_vm() {
        return command.split(';').map(|one| interpret(one.trim())).collect();
    }
    let mut shell = Command::new("sh");
    output(shell.args(["-c", command]), command)
}

/// Runs a command of a remedy that asks taskscope, with the socket of a daemon.
///
/// # Panics
///
/// If the command fails.
#[track_caller]
pub fn ask(command: &str, service: &Service) -> String {
    let arguments = command.strip_prefix("taskscope ");
    let arguments = arguments.unwrap_or_else(|| panic!("not a command of taskscope: {command}"));
    let mut asked = Command::new(setting::taskscope());
    asked
        .args(arguments.split(' ').map(|word| word.trim_matches('\'')))
        .arg("--socket")
        .arg(service.socket());
    output(&mut asked, command)
}

#[track_caller]
fn output(run: &mut Command, command: &str) -> String {
    let output = run.output().unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn interpret(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["kill", first, rest @ ..] => {
            let (first, rest) = match (*first, rest) {
                // POSIX: kill -s KILL -- -PGID
                ("-s", ["KILL", "--", rest @ ..]) => ("-KILL", rest),
                (first, rest) => (first, rest),
            };
            let named = match first {
                "-9" | "-KILL" => Some(libc::SIGKILL),
                "-STOP" => Some(libc::SIGSTOP),
                "-CONT" => Some(libc::SIGCONT),
                "-CHLD" => Some(libc::SIGCHLD),
                _ => None,
            };
            let pids = if named.is_some() { rest } else { words.get(1..).unwrap_or_default() };
            for pid in pids {
                let pid = pid.parse().unwrap_or_else(|error| panic!("{command}: {error}"));
                // SAFETY: two integers.
                let sent = unsafe { libc::kill(pid, named.unwrap_or(libc::SIGTERM)) };
                assert_eq!(sent, 0, "{command}: {}", std::io::Error::last_os_error());
            }
        }
        ["echo", text, ">", file] => {
            fs::write(file, text).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
        ["prlimit", "--pid", pid, limit] => {
            let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
            let (pid, limit) = (number(Some(pid)), number(limit.strip_prefix("--nproc=")));
            let (Some(pid), Some(limit)) = (pid, limit) else { panic!("{command}") };
            let limits = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            let pid: i32 = i32::try_from(pid).unwrap_or_else(|error| panic!("{command}: {error}"));
            // SAFETY: the new limits outlive the call, and the old ones are not asked for.
            let set =
                unsafe { libc::prlimit(pid, libc::RLIMIT_NPROC, &raw const limits, std::ptr::null_mut()) };
            assert_eq!(set, 0, "{command}: {}", std::io::Error::last_os_error());
        }
        ["cat", files, "|", "sort", "|", "uniq", "-c"] => return count(files),
        _ => panic!("a guest has no shell for: {command}"),
    }
    String::new()
}

/// Counts the lines of files `DIRECTORY/*/FILE`, as `sort | uniq -c` does.
#[track_caller]
fn count(files: &str) -> String {
    let (directory, file) = files.split_once("/*/").unwrap_or_else(|| panic!("not a pattern: {files}"));
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries.flatten() {
        let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
    }
    lines.into_iter().fold(String::new(), |all, (line, count)| all + &format!("{count:>7} {line}\n"))
}

/// Returns the command of a remedy between two texts.
///
/// # Panics
///
/// If the remedy does not have these texts.
#[track_caller]
pub fn between<'a>(remedy: &'a str, before: &str, after: &str) -> &'a str {
    let rest = remedy.split_once(before).map(|(_, rest)| rest);
    let command = rest.and_then(|rest| rest.split_once(after)).map(|(command, _)| command);
    command.unwrap_or_else(|| panic!("nothing between `{before}` and `{after}` in: {remedy}"))
}
