//! systemd and dpkg by their own commands.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, bail};

pub(crate) const UNIT: &str = "taskscope.service";

/// Runs a command to its end. The error contains its output.
pub(crate) fn sh(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .with_context(|| format!("running {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}: {} {}", args.join(" "), output.status, text.trim(), errors.trim());
    }
    Ok(text)
}

/// Runs `systemctl VERB taskscope.service`.
pub(crate) fn unit(verb: &str) -> anyhow::Result<String> {
    sh("systemctl", &[verb, UNIT])
}

/// Returns one property of the unit.
pub(crate) fn property(name: &str) -> anyhow::Result<String> {
    let text = sh("systemctl", &["show", "--value", "--property", name, UNIT])?;
    Ok(text.trim().to_owned())
}

/// Returns the pid of the main process; fails if there is none.
pub(crate) fn main_pid() -> anyhow::Result<i32> {
    let pid = property("MainPID")?.parse().context("MainPID is no number")?;
    anyhow::ensure!(pid != 0, "the service has no main process: {}", property("ActiveState")?);
    Ok(pid)
}

/// Waits for an active service with another main process than `old`.
pub(crate) fn restarted(old: i32) -> anyhow::Result<i32> {
    crate::run::until("systemd restarted the service", || {
        let pid = main_pid()?;
        anyhow::ensure!(pid != old, "process {old} is still its main process");
        let state = property("ActiveState")?;
        anyhow::ensure!(state == "active", "the service is {state}");
        Ok(pid)
    })
}

/// Writes a drop-in for the unit; an empty text removes it.
pub(crate) fn drop_in(text: &str) -> anyhow::Result<()> {
    const DIRECTORY: &str = "/run/systemd/system/taskscope.service.d";
    if text.is_empty() {
        std::fs::remove_dir_all(DIRECTORY).with_context(|| format!("removing {DIRECTORY}"))?;
    } else {
        std::fs::create_dir_all(DIRECTORY).with_context(|| format!("making {DIRECTORY}"))?;
        std::fs::write(format!("{DIRECTORY}/test.conf"), text).context("writing a drop-in")?;
    }
    sh("systemctl", &["daemon-reload"]).map(drop)
}

/// Returns the entries that taskscope has written to the journal by its native protocol, as journalctl shows them: one JSON per
/// line.
pub(crate) fn own_entries() -> anyhow::Result<String> {
    sh("journalctl", &["--no-pager", "--output=json", "TASKSCOPE_EVENT_ACTION=zombie_flagged"])
}

/// Returns the journal of the unit.
pub(crate) fn journal() -> anyhow::Result<String> {
    sh("journalctl", &["--no-pager", "--output=cat", "--unit", UNIT])
}

/// Prints what an operator reads first: the status and the end of the journal.
pub(crate) fn circumstances() -> String {
    let mut text = String::new();
    for (program, args) in [
        ("systemctl", vec!["--no-pager", "--full", "--lines=0", "status", UNIT]),
        ("journalctl", vec!["--no-pager", "--output=short-monotonic", "--lines=40", "--unit", UNIT]),
        ("systemctl", vec!["--no-pager", "--failed"]),
    ] {
        // `systemctl status` fails for an unhealthy unit, so its exit code is ignored.
        let answer = sh(program, &args).unwrap_or_else(|error| format!("{error:#}"));
        let _ = writeln!(text, "{}", answer.trim_end());
    }
    text
}
