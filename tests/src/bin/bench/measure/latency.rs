//! The time from the kernel's event until its line is read.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use serde::Serialize;
use taskscope_tests::setting;

use crate::{
    Setup,
    figure::{cell, median},
    table::Table,
    workload,
};

/// Lives in the paced workload: 2,500 a second.
const LIVES: u64 = 10_000;

/// The delays of one run, or the medians of all runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) events: f64,
    pub(crate) events_a_second: f64,
    pub(crate) p50_ns: f64,
    pub(crate) p90_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) p999_ns: f64,
    pub(crate) most_ns: f64,
}

/// Measures `taskscope events`, with as many runs as the other parts; each figure is the median of its runs.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Row> {
    eprintln!("bench: latency");
    let runs = (0..setup.rounds).map(|_| one(setup)).collect::<anyhow::Result<Vec<_>>>()?;
    let of = |figure: fn(&Row) -> f64| median(runs.iter().map(figure)).unwrap_or(f64::NAN);
    Ok(Row {
        events: of(|row| row.events),
        events_a_second: of(|row| row.events_a_second),
        p50_ns: of(|row| row.p50_ns),
        p90_ns: of(|row| row.p90_ns),
        p99_ns: of(|row| row.p99_ns),
        p999_ns: of(|row| row.p999_ns),
        most_ns: of(|row| row.most_ns),
    })
}

fn one(setup: &Setup) -> anyhow::Result<Row> {
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
            // Sending fails only if the receiver was dropped.
            let _ = ready.send(line);
        }
    });
    let reader = thread::spawn(move || delays(BufReader::with_capacity(1 << 20, stdout)));
    while !is_ready.recv_timeout(Duration::from_secs(30)).context("it did not get ready")?.contains("ready") {
    }
    let took = workload::time("paced", setup.scaled(LIVES))?;
    // SIGTERM makes it flush the rest of its output. SAFETY: kill takes integers; the pid is of a child that was not waited for
    // yet.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    child.wait().context("waiting for taskscope")?;
    let mut delays = reader.join().ok().context("the reader panicked")?;
    delays.sort_unstable();
    let at = |share: usize| delays.get(delays.len() * share / 1000).copied().unwrap_or(0) as f64;
    Ok(Row {
        events: delays.len() as f64,
        events_a_second: delays.len() as f64 / took.as_secs_f64(),
        p50_ns: at(500),
        p90_ns: at(900),
        p99_ns: at(990),
        p999_ns: at(999),
        most_ns: delays.last().copied().unwrap_or(0) as f64,
    })
}

/// Returns the age of the event of each line about the workload when the line was read.
fn delays(lines: impl BufRead) -> Vec<u64> {
    let mut delays = Vec::new();
    for line in lines.lines().map_while(Result::ok) {
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
}

/// Returns the table for people.
pub(crate) fn table(row: Option<&Row>) -> Table {
    let columns = ["events", "a second", "p50", "p90", "p99", "p99.9", "most"];
    let mut table = Table::new("From the kernel's event to its NDJSON line", &columns);
    let ms = |ns: f64| cell(Some(ns / 1e6), 2, "ms");
    table.rows.extend(row.map(|row| {
        vec![
            format!("{:.0}", row.events),
            format!("{:.0}", row.events_a_second),
            ms(row.p50_ns),
            ms(row.p90_ns),
            ms(row.p99_ns),
            ms(row.p999_ns),
            ms(row.most_ns),
        ]
    }));
    table
}
