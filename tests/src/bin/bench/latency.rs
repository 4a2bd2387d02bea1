//! From the kernel's event to the line: the time in the record against the time at which its line is read.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use taskscope_tests::setting;

use super::{Setup, table::Table, workload};

/// Lives in the paced workload: 2,500 a second.
const LIVES: u64 = 10_000;

/// Measures `taskscope events`.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Table> {
    let mut child = Command::new(&setup.taskscope)
        .args(["events", "--alone"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting taskscope")?;
    let (stdout, stderr) =
        (child.stdout.take().context("its stdout")?, child.stderr.take().context("its stderr")?);
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody waits any more if this fails.
            let _ = ready.send(line);
        }
    });
    let reader = thread::spawn(move || {
        let mut delays = Vec::new();
        for line in BufReader::with_capacity(1 << 20, stdout).lines().map_while(Result::ok) {
            let now = setting::now_ns();
            let Some((_, rest)) = line.split_once(r#""boottime_ns":"#) else { continue };
            let digits = rest.split(',').next().unwrap_or_default();
            if line.contains(r#""name":"bench""#)
                && let Ok(at) = digits.parse::<u64>()
            {
                delays.push(now.saturating_sub(at));
            }
        }
        delays
    });
    while !is_ready.recv_timeout(Duration::from_secs(30)).context("it did not get ready")?.contains("ready") {
    }
    let took = workload::time("paced", if setup.quick { LIVES / 10 } else { LIVES })?;
    thread::sleep(Duration::from_millis(300));
    // SAFETY: kill with the pid of a child that is not waited for yet.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    child.wait().context("waiting for taskscope")?;
    let mut delays = reader.join().ok().context("the reader panicked")?;
    delays.sort_unstable();
    let at = |share: usize| delays.get(delays.len() * share / 1000).copied().unwrap_or(0) as f64 / 1e6;
    let columns = ["events", "a second", "p50", "p90", "p99", "p99.9", "most"];
    let mut table = Table::new("From the kernel's event to its NDJSON line", &columns);
    let most = delays.last().copied().unwrap_or(0) as f64 / 1e6;
    table.rows.push(vec![
        delays.len().to_string(),
        format!("{:.0}", delays.len() as f64 / took.as_secs_f64()),
        format!("{:.2} ms", at(500)),
        format!("{:.2} ms", at(900)),
        format!("{:.2} ms", at(990)),
        format!("{:.2} ms", at(999)),
        format!("{most:.2} ms"),
    ]);
    Ok(table)
}
