//! Checks the budgets: what taskscope may cost.

use serde::Serialize;

use super::{
    Report,
    figure::{MIB, cell},
    growth, observers, programs, storms,
    table::Table,
};

/// One budget.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) budget: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

/// Whether a budget was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Kept,
    Missed,
    /// Runs without an observer differ from each other by more than the budget can tell.
    Noise,
    NotMeasured,
}

impl Verdict {
    const fn of(is_kept: bool) -> Self {
        if is_kept { Self::Kept } else { Self::Missed }
    }
}

fn row(what: &'static str, budget: &str, measured: Option<(String, bool)>) -> Row {
    row_of(what, budget.to_owned(), measured)
}

fn row_of(what: &'static str, budget: String, measured: Option<(String, bool)>) -> Row {
    let (measured, verdict) = measured
        .map_or_else(|| ("-".to_owned(), Verdict::NotMeasured), |(text, kept)| (text, Verdict::of(kept)));
    Row { what, budget, measured, verdict }
}

const EVENTS: &str = "taskscope events (NDJSON)";
const RUN: &str = "taskscope run (metrics)";

fn storm<'a>(report: &'a Report, workload: &str, observer: &str) -> Option<&'a storms::Row> {
    report.storms.iter().find(|row| row.workload.starts_with(workload) && row.observer.starts_with(observer))
}

/// Returns all budgets.
pub(crate) fn judge(report: &Report) -> Vec<Row> {
    let mut rows = vec![
        row("program on sched_switch above an empty one", "<= 5 ns", switch(report)),
        row("programs of a vfork life, without the statistics' own time", "<= 1.4 us", life(report)),
        slowed("vfork + exit + wait storm slowed (metrics)", report, RUN),
        slowed("vfork + exit + wait storm slowed (NDJSON)", report, EVENTS),
        row("processes whose end was missed, all workloads", "0", missed(report)),
        row("CPU of the daemon a record, metrics only", "<= 0.3 us", cpu(report, RUN, 300.0)),
        row("CPU an event as NDJSON", "<= 0.9 us", cpu(report, EVENTS, 900.0)),
        row("CPU an event as NDJSON / forkstat's", "<= 0.25", beside_forkstat(report)),
        row("CPU an event / the cheapest rival's, per workload", "<= 0.5", beside_rivals(report)),
    ];
    rows.extend(LINEAGE.iter().map(|budget| lineage(report, budget)));
    let first = report.growth.first();
    let large = large(report);
    let of = |row: Option<&growth::Row>, what, unit, limit, digits, figure: fn(&growth::Row) -> f64| {
        let measured = row.map(figure).map(|value| (format!("{value:.digits$} {unit}"), value <= limit));
        row_of(what, format!("<= {limit} {unit}"), measured)
    };
    rows.extend([
        of(first, "RSS on an idle host", "MiB", 14.0, 1, |row| row.rss_bytes / MIB),
        of(first, "peak RSS while it starts", "MiB", 30.0, 1, |row| row.start_rss_bytes / MIB),
        of(first, "from start to ready", "s", 0.3, 2, |row| row.start_ns / 1e9),
        quiet("CPU a second on an idle host", report, |sleepers| sleepers == 0, 1.0),
        quiet("CPU a second with 100,000 sleeping threads", report, |sleepers| sleepers > 90_000, 1.5),
        row(
            "reading all tasks, with 100,000",
            "<= 90 ms",
            large.map(|row| {
                let ms = |ns: Option<f64>| cell(ns.map(|ns| ns / 1e6), 1, "ms");
                let text = format!(
                    "{:.1} ms (the kernel's walk alone {}, with empty records {})",
                    row.read_ns / 1e6,
                    ms(row.walk_ns),
                    ms(row.write_ns)
                );
                (text, row.read_ns <= 90e6)
            }),
        ),
        row(
            "reading all tasks / reading /proc",
            ">= 20 times faster",
            large.map(|row| {
                let ratio = row.procfs_ns / row.read_ns;
                (format!("{ratio:.1} times"), ratio >= 20.0)
            }),
        ),
        row(
            "kernel event to NDJSON line at 17,000 events/s, p99",
            "<= 1.2 ms",
            report.latency.as_ref().map(|row| (format!("{:.2} ms", row.p99_ns / 1e6), row.p99_ns <= 1.2e6)),
        ),
        of(large, "scrape with 100,000 tasks", "ms", 1.5, 2, |row| row.scrape_ns / 1e6),
        of(large, "size of the scrape", "KiB", 64.0, 1, |row| row.scrape_bytes as f64 / 1024.0),
    ]);
    rows
}

/// The budgets of the lineage alone: live tasks and records a second.
const LINEAGE: [(&str, u64, f64); 3] = [
    ("lineage alone, 1,000 live tasks", 1_000, 12e6),
    ("lineage alone, 100,000 live tasks", 100_000, 10e6),
    ("lineage alone, 1,000,000 live tasks", 1_000_000, 8e6),
];

fn lineage(report: &Report, &(what, live, least): &(&'static str, u64, f64)) -> Row {
    let measured = report.replay.iter().find(|row| row.live == live).map(|row| {
        let rate = row.records_a_second;
        let floor = row.floor_records_a_second / 1e6;
        (format!("{:.2} M records/s (memory accesses alone {floor:.2} M)", rate / 1e6), rate >= least)
    });
    row_of(what, format!(">= {:.0} M records/s", least / 1e6), measured)
}

/// Judges the CPU time of `taskscope run` on a quiet host by a limit in ms a second.
fn quiet(what: &'static str, report: &Report, sleepers: fn(u64) -> bool, limit: f64) -> Row {
    let found = report.idle.iter().find(|row| row.observer == RUN && sleepers(row.sleepers));
    let measured = found.map(|row| {
        let ms = row.cpu_ns_a_second / 1e6;
        (format!("{ms:.2} ms"), ms <= limit)
    });
    row_of(what, format!("<= {limit} ms"), measured)
}

/// Adds up the time of all programs in a turn of the vfork storm. The time of an empty program, which is that of the kernel's
/// statistics, is subtracted from each run.
fn life(report: &Report) -> Option<(String, bool)> {
    let rows = || report.programs.iter().filter(|row| row.workload == "vfork" && row.observer == RUN);
    let empties = programs::EMPTY
        .map(|empty| rows().find(|row| row.program == empty).and_then(|row| row.ns_a_run))
        .map(|cost| cost.map(|cost| cost.median));
    let empty = f64::midpoint(empties[0]?, empties[1]?);
    let ours = || rows().filter(|row| !row.program.starts_with('('));
    let turns = ours().map(|row| row.runs).fold(f64::INFINITY, f64::min);
    let sum: f64 = ours().filter_map(|row| Some((row.ns_a_run?.median - empty).max(0.0) * row.runs)).sum();
    let us = sum / turns / 1e3;
    us.is_finite().then(|| (format!("{us:.2} us (an empty program {empty:.0} ns a run)"), us <= 1.4))
}

/// Returns the row of growth with the most tasks, if these are many.
fn large(report: &Report) -> Option<&growth::Row> {
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
    Some((text, above <= 5.0))
}

/// The spread of bare runs among themselves above which a slowdown says nothing.
const NOISE: f64 = 0.1;

fn slowed(what: &'static str, report: &Report, observer: &str) -> Row {
    let slowdown = storm(report, "vfork", observer).and_then(|row| row.slowdown);
    let noise = storm(report, "vfork", "none").and_then(|row| row.slowdown);
    let Some((slowdown, noise)) = slowdown.zip(noise) else { return row(what, "<= 3 %", None) };
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
    let is_noise = noise.most - noise.least > NOISE;
    let verdict = if is_noise { Verdict::Noise } else { Verdict::of(slowdown.median <= 1.03) };
    Row { what, budget: "<= 3 %".to_owned(), measured: text, verdict }
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
    Some((format!("{ratio:.2} at most ({workload}; {rival})"), ratio <= 0.5))
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

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new("Budgets", &["what", "budget", "measured", ""]);
    table.rows.extend(rows.iter().map(|row| {
        let verdict = match row.verdict {
            Verdict::Kept => "kept",
            Verdict::Missed => "MISSED",
            Verdict::Noise => "noise",
            Verdict::NotMeasured => "not measured",
        };
        vec![row.what.to_owned(), row.budget.clone(), row.measured.clone(), verdict.to_owned()]
    }));
    table
}
