//! The executables that cargo builds, from its messages.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

/// An executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The name of its target.
    pub(crate) name: String,
    /// The kind of its target, such as `bin` or `test`.
    pub(crate) kind: String,
    /// Whether it runs tests; also that of a `bin` can.
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds; returns the executables in the order in which they were finished.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<Artifact>> {
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let line = shell::line(cargo);
    eprintln!("+ {line}");
    let mut child = cargo.spawn().context("running cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut artifacts = Vec::new();
    for message in BufReader::new(stdout).lines() {
        artifacts.extend(artifact(&message.context("reading cargo's messages")?));
    }
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() {
        bail!("{line} failed: {status}");
    }
    Ok(artifacts)
}

/// Returns the executable that a `compiler-artifact` message is about.
fn artifact(message: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    Some(Artifact {
        name: target["name"].as_str()?.to_owned(),
        kind: target["kind"][0].as_str()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        path: message["executable"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_distinguished_by_kind_and_profile() {
        let message = |kind: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"trust","kind":["{kind}"]}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let trust = |kind: &str, is_test| {
            let (name, kind, path) = ("trust".to_owned(), kind.to_owned(), PathBuf::from("/t/trust-1"));
            Some(Artifact { name, kind, is_test, path })
        };
        let path = "\"/t/trust-1\"";
        assert_eq!(artifact(&message("test", true, path)), trust("test", true));
        assert_eq!(artifact(&message("bin", false, path)), trust("bin", false));
        assert_eq!(artifact(&message("test", true, "null")), None);
        assert_eq!(artifact("   Compiling x"), None);
    }
}
