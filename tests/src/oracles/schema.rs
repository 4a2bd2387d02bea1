//! The JSON Schemas that taskscope prints, and a validator of another project: `jsonschema_rs`, which comes with schemathesis.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::setting;

/// Returns the python that has the validator; skips this test if there is none.
#[must_use]
pub fn validator() -> Option<OsString> {
    let python = env::var_os("TASKSCOPE_SCHEMATHESIS");
    if python.is_none() {
        setting::skip(
            "TASKSCOPE_SCHEMATHESIS names no python; schemathesis brings the validator jsonschema_rs",
        );
    }
    python
}

/// Writes the schema that `taskscope schema` prints to a file.
#[track_caller]
pub fn print(of: &str, path: &Path) {
    let output = Command::new(setting::taskscope()).args(["schema", of]).output();
    let schema = output.unwrap_or_else(|error| panic!("starting taskscope: {error}")).stdout;
    fs::write(path, schema).unwrap_or_else(|error| panic!("writing the schema: {error}"));
}

/// Runs a program of python with the path of a schema, and these lines as its input. Returns what it prints; it must succeed.
#[track_caller]
pub fn check(python: OsString, program: &str, schema: &Path, lines: &str) -> String {
    let mut child = Command::new(python)
        .args(["-c", program])
        .arg(schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting python: {error}"));
    let mut stdin = child.stdin.take().unwrap_or_else(|| panic!("no standard input"));
    // The validator prints errors to standard error.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("waiting for python: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
