//! Runs `taskscope` once and reads what it prints.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::setting;

/// Returns the command `taskscope` with arguments. Its text does not depend on the environment of the tests.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(args).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// Runs `taskscope` to its end, which may have any exit code.
#[must_use]
#[track_caller]
pub fn run(args: &[&str]) -> Output {
    command(args).output().unwrap_or_else(|error| panic!("running taskscope {args:?}: {error}"))
}

/// Returns what `taskscope` prints to standard output; its exit code must be 0.
#[must_use]
#[track_caller]
pub fn text(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// Returns the JSON that `taskscope` prints; the exit code may be any, as that of `zombies` is.
#[must_use]
#[track_caller]
pub fn json(args: &[&str]) -> Value {
    let output = run(args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

/// Parses lines of JSON.
#[must_use]
#[track_caller]
pub fn lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}
