//! The service after faults, and its end.

use std::time::Instant;

use anyhow::ensure;

use crate::daemon::get;
use crate::package;
use crate::programs;
use crate::run::{Run, until};
use crate::service::signal;
use crate::systemctl::{drop_in, journal, main_pid, property, restarted, unit};

/// Stops the daemon by SIGSTOP: it does not notify the watchdog, and systemd restarts it.
pub(crate) fn watchdog(run: &mut Run) -> anyhow::Result<()> {
    drop_in("[Service]\nWatchdogSec=3s\n")?;
    unit("restart")?;
    let pid = main_pid()?;
    let stopped = Instant::now();
    signal(pid, libc::SIGSTOP)?;
    restarted(pid)?;
    run.report("watchdog.back_ms", stopped.elapsed().as_millis())?;
    until("it answers again", || get("/metrics"))?;
    ensure!(journal()?.contains("Watchdog timeout"), "the journal has no watchdog timeout");
    drop_in("")?;
    unit("restart").map(drop)
}

/// Kills the daemon: it leaves no socket and no program that hinder the next one.
pub(crate) fn kill(run: &mut Run) -> anyhow::Result<()> {
    let running = programs::observing()?;
    let pid = main_pid()?;
    let killed = Instant::now();
    signal(pid, libc::SIGKILL)?;
    restarted(pid)?;
    run.report("kill.back_ms", killed.elapsed().as_millis())?;
    until("it answers again", || get("/metrics"))?;
    until("only the programs of the new daemon are loaded", || {
        let now = programs::observing()?;
        ensure!(now == running, "{now} programs observe, one daemon has {running}");
        Ok(())
    })
}

/// Ends the daemon by SIGTERM: it drains the ring, detaches, and exits with 0.
pub(crate) fn stop(run: &mut Run) -> anyhow::Result<()> {
    let asked = Instant::now();
    unit("stop")?;
    run.report("stop.ms", asked.elapsed().as_millis())?;
    let result = property("Result")?;
    ensure!(result == "success", "its end was no success but `{result}`");
    ensure!(property("ExecMainStatus")? == "0", "it ended with {}", property("ExecMainStatus")?);
    ensure!(journal()?.contains("summary: "), "the journal has no summary");
    package::gone(run)
}
