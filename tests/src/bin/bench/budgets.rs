//! Checks the budgets: what taskscope may cost.

use serde::Serialize;

use super::{Report, figure::cell, observers, programs, storms, table::Table};

/// One budget.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) budget: String,
    pub(crate) measured: String,
    /// Whether the budget was kept; `None` if it could not be measured.
    pub(crate) kept: Option<bool>,
}

fn row(what: &'static str, budget: &str, measured: Option<(String, bool)>) -> Row {
    let (measured, kept) =
        measured.map_or_else(|| ("not measured".to_owned(), None), |(text, kept)| (text, Some(kept)));
    Row { what, budget: budget.to_owned(), measured, kept }
}

const EVENTS: &str = "taskscope events (NDJSON)";
const RUN: &str = "taskscope run (metrics)";

fn storm<'a>(report: &'a Report, workload: &str, observer: &str) -> Option<&'a storms::Row> {
    report.storms.iter().find(|row| row.workload.starts_with(workload) && row.observer.starts_with(observer))
}

/// Returns all budgets.
pub(crate) fn judge(report: &Report) -> Vec<Row> {
    let at_most = |value: f64, limit: f64, text: String| (text, value <= limit);
    vec![
        row("program on sched_switch above an empty one", "<= 10 ns", switch(report)),
        row("vfork + exit + wait storm slowed (metrics)", "<= 3 %", slowed(report, RUN)),
        row("vfork + exit + wait storm slowed (NDJSON)", "<= 3 %", slowed(report, EVENTS)),
        row("processes whose end was missed, all workloads", "0", missed(report)),
        row("CPU of the daemon a record, metrics only", "<= 1 us", cpu(report, RUN, 1e3)),
        row("CPU an event as NDJSON", "<= 2 us", cpu(report, EVENTS, 2e3)),
        row("CPU an event as NDJSON / forkstat's", "<= 0.25", beside_forkstat(report)),
        row("CPU an event / the cheapest rival's, per workload", "< 1", beside_rivals(report)),
        row(
            "lineage alone, slowest of all sizes",
            ">= 5 M records/s",
            report.replay.iter().min_by(|a, b| a.records_a_second.total_cmp(&b.records_a_second)).map(
                |row| {
                    let millions = |rate: f64| rate / 1e6;
                    let text = format!(
                        "{:.2} M records/s with {} tasks (memory accesses alone {:.2} M)",
                        millions(row.records_a_second),
                        row.live,
                        millions(row.floor_records_a_second)
                    );
                    (text, row.records_a_second >= 5e6)
                },
            ),
        ),
        row("RSS on an idle host", "<= 32 MiB", idle_rss(report)),
        row(
            "reading all tasks, with 100,000",
            "<= 60 ms",
            large(report).map(|row| {
                let ms = |ns: Option<f64>| cell(ns.map(|ns| ns / 1e6), 1, "ms");
                let text = format!(
                    "{:.1} ms (the kernel's walk alone {}, with empty records {})",
                    row.read_ns / 1e6,
                    ms(row.walk_ns),
                    ms(row.write_ns)
                );
                at_most(row.read_ns, 60e6, text)
            }),
        ),
        row(
            "reading all tasks / reading /proc",
            ">= 20 times faster",
            large(report).map(|row| {
                let ratio = row.procfs_ns / row.read_ns;
                (format!("{ratio:.1} times"), ratio >= 20.0)
            }),
        ),
        row(
            "kernel event to NDJSON line at 10,000 events/s, p99",
            "<= 2 ms",
            report
                .latency
                .as_ref()
                .map(|row| at_most(row.p99_ns, 2e6, format!("{:.2} ms", row.p99_ns / 1e6))),
        ),
        row(
            "scrape with 100,000 tasks",
            "<= 2 ms",
            large(report).map(|row| at_most(row.scrape_ns, 2e6, format!("{:.2} ms", row.scrape_ns / 1e6))),
        ),
        row(
            "size of the scrape",
            "<= 64 KiB",
            large(report).map(|row| {
                let kib = row.scrape_bytes as f64 / 1024.0;
                at_most(kib, 64.0, format!("{kib:.1} KiB"))
            }),
        ),
    ]
}

/// Returns the row of growth with the most tasks, if these are many.
fn large(report: &Report) -> Option<&super::growth::Row> {
    report.growth.last().filter(|row| row.tasks >= 90_000.0)
}

fn switch(report: &Report) -> Option<(String, bool)> {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let mut rows = report.programs.iter().filter(|row| row.workload == "switches");
        rows.find(|row| wanted(&row.program))?.ns_a_run
    };
    let ours = of(&|name| name.starts_with("sched_switch"))?;
    let [before, after] = programs::EMPTY.map(|empty| of(&|name| name == empty));
    let (before, after) = (before?.median, after?.median);
    let above = ours.median - f64::midpoint(before, after);
    let text = format!(
        "{above:+.1} ns ({:.1}; empty ones called before {before:.1}, after {after:.1})",
        ours.median
    );
    Some((text, above <= 10.0))
}

fn slowed(report: &Report, observer: &str) -> Option<(String, bool)> {
    let slowdown = storm(report, "vfork", observer)?.slowdown?;
    let noise = storm(report, "vfork", "none")?.slowdown?;
    let percent = |by: f64| 100.0 * (by - 1.0);
    let floor = |name: &str| {
        let floor = storm(report, "vfork", name).and_then(|row| row.slowdown);
        floor.map_or_else(|| "-".to_owned(), |floor| format!("{:+.1} %", percent(floor.median)))
    };
    let text = format!(
        "{:+.1} % (bare runs among themselves {:+.1} to {:+.1} %; empty programs {}, empty records {})",
        percent(slowdown.median),
        percent(noise.least),
        percent(noise.most),
        floor(observers::FLOOR_EMPTY),
        floor(observers::FLOOR_SEND)
    );
    Some((text, slowdown.median <= 1.03))
}

/// Judges the CPU time per event in the vfork storm by a limit in ns. The text adds the CPU time of a reader that wakes up as often
/// as a reader of NDJSON and discards everything.
fn cpu(report: &Report, observer: &str, limit_ns: f64) -> Option<(String, bool)> {
    let ours = storm(report, "vfork", observer)?;
    let ns = ours.cpu_ns_an_event?;
    let floor = storm(report, "vfork", observers::FLOOR_SEND)
        .and_then(|row| Some(row.cpu_ns_a_turn? * ours.turns as f64 / ours.events? / 1e3));
    let text = format!(
        "{:.2} us (waking up each millisecond and discarding everything: {})",
        ns / 1e3,
        cell(floor, 2, "us")
    );
    Some((text, ns <= limit_ns))
}

fn beside_forkstat(report: &Report) -> Option<(String, bool)> {
    let ours = storm(report, "vfork", EVENTS)?.cpu_ns_an_event?;
    let theirs = storm(report, "vfork", "forkstat")?.cpu_ns_an_event?;
    Some((format!("{:.2}", ours / theirs), ours <= theirs / 4.0))
}

/// Judges the CPU time per event as NDJSON divided by that of the cheapest rival, in the workload with the greatest quotient.
fn beside_rivals(report: &Report) -> Option<(String, bool)> {
    let is_rival =
        |row: &&storms::Row| !row.observer.starts_with("taskscope") && !row.observer.starts_with('(');
    let cost = |row: &storms::Row| Some((row.cpu_ns_an_event?, row.observer));
    let ratios = report.storms.iter().filter(|row| row.observer == EVENTS).filter_map(|ours| {
        let rivals = report.storms.iter().filter(|row| row.workload == ours.workload).filter(is_rival);
        let (least, rival) = rivals.filter_map(cost).min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((ours.cpu_ns_an_event? / least, ours.workload, rival))
    });
    let (ratio, workload, rival) = ratios.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((format!("{ratio:.2} at most ({workload}; {rival})"), ratio < 1.0))
}

/// Judges the number of ends that taskscope did not report. The text has that of other observers that report ends.
fn missed(report: &Report) -> Option<(String, bool)> {
    let mut observers: Vec<(&str, f64, u64)> = Vec::new();
    for row in &report.storms {
        let Some(missed) = row.missed() else { continue };
        match observers.iter_mut().find(|(name, ..)| *name == row.observer) {
            Some((_, all, ends)) => (*all += missed, *ends += row.ends).0,
            None => observers.push((row.observer, missed, row.ends)),
        }
    }
    let (_, ours, ends) = *observers.iter().find(|(name, ..)| *name == EVENTS)?;
    let others: Vec<_> = observers
        .iter()
        .filter(|(name, ..)| *name != EVENTS)
        .map(|(name, missed, _)| format!("{name} {missed:.0}"))
        .collect();
    Some((format!("{ours:.0} of {ends} ({})", others.join(", ")), ours <= 0.0))
}

fn idle_rss(report: &Report) -> Option<(String, bool)> {
    let row = report.growth.first()?;
    let mib = row.rss_bytes / 1_048_576.0;
    Some((format!("{mib:.1} MiB"), mib <= 32.0))
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new("Budgets", &["what", "budget", "measured", ""]);
    table.rows.extend(rows.iter().map(|row| {
        let verdict = match row.kept {
            Some(true) => "kept",
            Some(false) => "MISSED",
            None => "-",
        };
        vec![row.what.to_owned(), row.budget.clone(), row.measured.clone(), verdict.to_owned()]
    }));
    table
}
