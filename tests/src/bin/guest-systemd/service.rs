//! Tests of the running service: it starts in time, observes, answers and reloads.

use std::fs;
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::daemon::{get, get_local, metric, metrics};
use crate::package::CONFIGURATION;
use crate::programs;
use crate::run::{Run, until};
use crate::systemctl::{journal, main_pid, own_entries, property, unit};

/// Limit from `systemctl start` to a live /metrics. The documented limit is two seconds on a real machine, measured by hand; an
/// emulated CPU is about ten times slower, and shares the host.
const START_LIMIT_MS: u128 = 30_000;

/// Starts the service. READY comes after attaching and the first snapshot; /metrics then has the tasks at once.
pub(crate) fn starts(run: &mut Run) -> anyhow::Result<()> {
    unit("stop")?;
    let started = Instant::now();
    unit("start")?;
    let ready = started.elapsed().as_millis();
    let tasks = metric("taskscope_tasks{state=\"running\"}").context("READY, and no /metrics")?;
    let live = started.elapsed().as_millis();
    ensure!(tasks > 20.0, "it is READY and knows {tasks} tasks");
    ensure!(live < START_LIMIT_MS, "it took {live} ms until /metrics was live");
    run.report("start.ready_ms", ready)?;
    run.report("start.metrics_ms", live)?;
    run.report("start.cpu_ms", property("CPUUsageNSec")?.parse::<u64>().unwrap_or(0) / 1_000_000)?;
    run.report("start.programs", programs::observing()?)?;
    let journal = journal()?;
    let ready = journal.lines().rev().find_map(|line| line.split_once("ready: "));
    run.report("start.hooks", ready.context("the journal has no line about the hooks")?.1)
}

/// Creates a child that this process does not wait for.
fn zombie() -> anyhow::Result<Child> {
    Command::new("/bin/true").spawn().context("making a zombie")
}

/// Checks that zombies appear with their parent and disappear, and that TCP and the socket both answer.
pub(crate) fn observes(run: &mut Run) -> anyhow::Result<()> {
    let before = metrics()?;
    let parent = fs::read_to_string("/proc/self/comm").context("reading our own name")?;
    let ours = format!("parent=\"{}\"", parent.trim());
    let mut children = (0..3).map(|_| zombie()).collect::<anyhow::Result<Vec<_>>>()?;
    until("the zombies are seen, with their parent", || {
        let now = metrics()?;
        let seen = now.iter().filter(|(name, _)| name.starts_with("taskscope_parent_zombies{"));
        let seen: f64 = seen.filter(|(name, _)| name.contains(&ours)).map(|(_, count)| count).sum();
        ensure!(seen >= 3.0, "{seen} zombies of {ours}");
        Ok(())
    })?;
    for child in &mut children {
        child.wait().context("reaping a zombie")?;
    }
    until("the reaps are seen", || {
        let now = metrics()?;
        let of =
            |name: &str| now.get(name).copied().unwrap_or(0.0) - before.get(name).copied().unwrap_or(0.0);
        let reaps = of("taskscope_reaps_total{by=\"parent\"}");
        ensure!(reaps >= 3.0, "{reaps} reaps");
        ensure!(of("taskscope_execs_total") >= 3.0, "{} execs", of("taskscope_execs_total"));
        Ok(())
    })?;
    // On a busy host, a canary of the start can be late.
    until("it is ready", || {
        let status = get_local("/v1/status")?;
        ensure!(status.contains("\"ready\":true"), "/v1/status: {status}");
        let said = get("/readyz")?;
        ensure!(said.starts_with("ready"), "/readyz says {said}");
        Ok(())
    })?;
    ensure!(get("/v1/status").is_err(), "the whole API is on TCP without `api_on_tcp`");
    let lost = metrics()?;
    let lost: f64 = lost
        .iter()
        .filter(|(name, _)| name.starts_with("taskscope_records_lost_total"))
        .map(|(_, n)| n)
        .sum();
    run.report("observe.lost", lost)
}

/// Checks that journald has an entry with fields for a flagged zombie, without any configuration.
pub(crate) fn writes_to_the_journal(run: &mut Run) -> anyhow::Result<()> {
    let mut child = zombie()?;
    let pid = child.id().to_string();
    let entry = until("the journal has the flagged zombie", || {
        let entries = own_entries()?;
        let parsed = entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut ours = parsed.filter(|entry| entry["TASKSCOPE_PROCESS_PID"] == pid.as_str());
        ours.next().with_context(|| format!("no entry of pid {pid} in:\n{entries}"))
    })?;
    child.wait().context("reaping a zombie")?;
    for (field, value) in [
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "taskscope"),
        ("_SYSTEMD_UNIT", "taskscope.service"),
        ("_TRANSPORT", "journal"),
    ] {
        ensure!(entry[field] == value, "{field} is not {value}: {entry}");
    }
    let id = entry["MESSAGE_ID"].as_str().unwrap_or_default();
    ensure!(id.len() == 32, "MESSAGE_ID: {entry}");
    let message = entry["MESSAGE"].as_str().unwrap_or_default();
    ensure!(message.contains("has been a zombie for"), "MESSAGE: {entry}");
    ensure!(
        main_pid()?.to_string() == entry["_PID"].as_str().unwrap_or_default(),
        "another process: {entry}"
    );
    let sent = metric("taskscope_output_events_total{output=\"journald\"}")?;
    ensure!(sent >= 1.0, "{sent} events sent");
    run.report("journald.message_id", id)
}

/// Checks that the service still reads all tasks: at audits, and after a loss.
pub(crate) fn resyncs(run: &mut Run) -> anyhow::Result<()> {
    let configuration = fs::read_to_string(CONFIGURATION).context("reading the configuration")?;
    fs::write(CONFIGURATION, format!("{configuration}\naudit_every = \"1s\"\nring_kib = 4\n"))
        .context("writing the configuration")?;
    unit("restart")?;
    let audit = "taskscope_resyncs_total{cause=\"audit\"}";
    until("an audit was done", || {
        let audits = metric(audit)?;
        ensure!(audits >= 2.0, "{audits} audits");
        Ok(())
    })?;
    let pid = main_pid()?;
    signal(pid, libc::SIGSTOP)?;
    // 4 KiB hold the records of a few processes only.
    for _ in 0..60 {
        zombie()?.wait().context("reaping a child")?;
    }
    signal(pid, libc::SIGCONT)?;
    let after_loss = until("a loss was repaired", || {
        let now = metrics()?;
        let of = |name: &str| now.get(name).copied().unwrap_or(0.0);
        let count = of("taskscope_resyncs_total{cause=\"loss\"}");
        ensure!(count >= 1.0, "no resync after a loss");
        let failed = of("taskscope_resyncs_failed_total");
        ensure!(failed < 1.0, "{failed} comparisons failed");
        Ok(count)
    })?;
    run.report("resync.after_loss", after_loss)?;
    fs::write(CONFIGURATION, configuration).context("writing the configuration")?;
    unit("restart").map(drop)
}

/// Checks that a reload applies a new age of old zombies without a restart.
pub(crate) fn reloads(_run: &mut Run) -> anyhow::Result<()> {
    let pid = main_pid()?;
    let configuration = fs::read_to_string(CONFIGURATION).context("reading the configuration")?;
    fs::write(CONFIGURATION, format!("{configuration}\nzombie_after = \"1s\"\nring_kib = 64\n"))
        .context("writing the configuration")?;
    unit("reload")?;
    until("the journal reports the reload", || {
        let journal = journal()?;
        let reported = "reloaded: zombie_after changed; needs a restart: ring_kib";
        ensure!(journal.contains(reported), "the journal has no `{reported}`");
        Ok(())
    })?;
    let mut child = zombie()?;
    until("a zombie of a second is old", || {
        let old = metric("taskscope_zombies_old")?;
        ensure!(old >= 1.0, "{old} old zombies");
        Ok(())
    })?;
    child.wait().context("reaping a zombie")?;
    ensure!(main_pid()? == pid, "it was restarted");
    fs::write(CONFIGURATION, configuration).context("writing the configuration")?;
    unit("reload").map(drop)
}

/// Checks that a reload with a broken configuration is logged, and that the service keeps its settings.
pub(crate) fn refuses_a_broken_configuration(_run: &mut Run) -> anyhow::Result<()> {
    let pid = main_pid()?;
    let configuration = fs::read_to_string(CONFIGURATION).context("reading the configuration")?;
    fs::write(CONFIGURATION, "zombie_atfer = \"1s\"\n").context("writing the configuration")?;
    unit("reload")?;
    until("the journal reports the error", || {
        let journal = journal()?;
        let reported = "line 1: unknown key `zombie_atfer`; did you mean `zombie_after`?";
        ensure!(journal.contains(reported), "the journal has no `{reported}`");
        Ok(())
    })?;
    get("/metrics")?;
    ensure!(main_pid()? == pid, "it was restarted");
    fs::write(CONFIGURATION, configuration).context("writing the configuration")?;
    unit("reload").map(drop)
}

/// Sends a signal.
pub(crate) fn signal(pid: i32, signal: libc::c_int) -> anyhow::Result<()> {
    // SAFETY: kill takes integers.
    if unsafe { libc::kill(pid, signal) } != 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("signal {signal} to {pid}"));
    }
    Ok(())
}
