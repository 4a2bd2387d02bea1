//! Stops by systemd and podman, and what taskscope reports about them.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::daemon::{get_local, status};
use crate::podman::{LEAKY, podman};
use crate::run::{Run, until};
use crate::systemctl::sh;

/// Bit of SIGTERM in a mask of `/proc/PID/status`.
const SIGTERM_BIT: u64 = 1 << 14;

/// Checks the stop of a unit that ignores SIGTERM: systemd waits and sends SIGKILL. The unit's cgroup is empty between
/// `ExecStartPre=` and `ExecStart=`.
pub(crate) fn of_a_unit_that_ignores_sigterm(run: &mut Run) -> anyhow::Result<()> {
    const UNIT: &str = "stubborn.service";
    const COMMAND: &str = "trap '' TERM; while :; do sleep 1; done";
    let options = ["--unit", UNIT, "--property=TimeoutStopSec=2s", "--property=ExecStartPre=/bin/true"];
    sh("systemd-run", &[&options[..], &["/bin/sh", "-c", COMMAND]].concat())?;
    let main = until("the unit ignores SIGTERM", || {
        let pid = sh("systemctl", &["show", "--value", "--property=MainPID", UNIT])?.trim().parse()?;
        let ignored = u64::from_str_radix(&status(pid, "SigIgn")?, 16)?;
        ensure!(ignored & SIGTERM_BIT != 0, "{pid} ignores {ignored:x}");
        Ok(pid)
    })?;
    sh("systemctl", &["stop", UNIT])?;
    let stop = stopped(&format!("unit={UNIT}"))?;
    ensure!(stop["outcome"] == "killed" && stop["signal_name"] == "SIGTERM", "the stop: {stop:#}");
    ensure!(stop["sender"]["process"]["pid"] == 1, "systemd is not the sender: {stop:#}");
    let process = process(&stop, main)?;
    ensure!(process["disposition"] == "ignored", "the main process: {process:#}");
    run.report("stop.unit", &stop["summary"])?;
    let starts: Vec<_> = lives(&format!("unit={UNIT}"))?.iter().map(|life| life["starts"].as_u64()).collect();
    ensure!(starts == [Some(2), Some(1)], "ExecStartPre= and ExecStart= began as {starts:?}");
    // systemd keeps the failed unit loaded until reset-failed.
    let _ = sh("systemctl", &["reset-failed", UNIT]);
    Ok(())
}

/// Checks the stop of an entry point that is pid 1 without a handler: the kernel drops SIGTERM, so podman waits and sends SIGKILL.
pub(crate) fn of_an_entry_point_without_a_handler(run: &mut Run) -> anyhow::Result<()> {
    let options = ["--detach", "--name=deaf", "--network=none", "--rootfs", LEAKY];
    let id = podman("run", &[&options[..], &["/scenario", "entry-point"]].concat())?;
    let init: i32 = podman("inspect", &["--format={{.State.Pid}}", "deaf"])?.parse()?;
    podman("stop", &["--time=2", "deaf"])?;
    let query = format!("container={}", id.get(..12).context("podman answered with no id")?);
    let stop = stopped(&query)?;
    ensure!(stop["outcome"] == "killed", "the stop: {stop:#}");
    let process = process(&stop, init)?;
    ensure!(process["dropped"] == true, "the entry point: {process:#}");
    run.report("stop.container", &stop["summary"])?;
    let lives = lives(&query)?;
    ensure!(lives.iter().any(|life| life["end"] == "exited"), "the container's lives: {lives:#?}");
    podman("rm", &["--force", "deaf"]).map(drop)
}

/// Waits until the stop of a unit or container is over, and returns it.
fn stopped(query: &str) -> anyhow::Result<Value> {
    until("the stop is reported", || {
        let answer: Value = serde_json::from_str(&get_local(&format!("/v1/stops?{query}"))?)?;
        let stops = answer["stops"].as_array().map(Vec::as_slice).unwrap_or_default();
        let stop = stops.iter().find(|stop| stop["duration_ns"].is_u64());
        stop.cloned().with_context(|| format!("no stop has ended: {answer:#}"))
    })
}

/// Waits until all lives of a unit or container have ended, and returns them, the last first.
fn lives(query: &str) -> anyhow::Result<Vec<Value>> {
    until("its end is reported", || {
        let answer: Value = serde_json::from_str(&get_local(&format!("/v1/scopes?{query}"))?)?;
        let lives = answer["scopes"].as_array().cloned().unwrap_or_default();
        let have_ended = !lives.is_empty() && lives.iter().all(|life| life["end"].is_string());
        ensure!(have_ended, "some live: {answer:#}");
        Ok(lives)
    })
}

fn process(stop: &Value, pid: i32) -> anyhow::Result<&Value> {
    let mut all = stop["processes"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    all.find(|it| it["process"]["pid"] == pid).with_context(|| format!("{pid} is not in the stop: {stop:#}"))
}
