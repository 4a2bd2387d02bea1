//! Storms: how much an observer slows them, and what it misses and costs.

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    Setup,
    figure::{MIB, Spread, cell, median},
    observers::{KINDS, Kind, Said},
    process::Cost,
    table::Table,
    workload::{self, STORMS, Storm},
};

/// One observer in one storm.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) observer: &'static str,
    pub(crate) turns: u64,
    /// Duration of one turn without any observer, ns.
    pub(crate) bare_ns_a_turn: f64,
    /// Duration of the storm divided by that of the bare storms right before and after it.
    pub(crate) slowdown: Option<Spread>,
    /// CPU time of the observer's threads.
    pub(crate) cpu_ns_a_turn: Option<f64>,
    /// Number of lines that it wrote, or of records that it received.
    pub(crate) events: Option<f64>,
    pub(crate) cpu_ns_an_event: Option<f64>,
    /// Number of processes of the storm that ended.
    pub(crate) ends: u64,
    /// Number of lives that it reported.
    pub(crate) ends_seen: Option<f64>,
    pub(crate) peak_rss_bytes: Option<f64>,
}

impl Row {
    /// Returns the number of ends that it did not report; `None` if it reports no ends.
    pub(crate) fn missed(&self) -> Option<f64> {
        self.ends_seen.map(|seen| (self.ends as f64 - seen).max(0.0))
    }
}

/// All rounds of one observer in one storm.
#[derive(Default)]
struct Rounds {
    slowdowns: Vec<f64>,
    costs: Vec<Cost>,
    records: Vec<f64>,
}

/// Runs everything. The storm runs bare before and after each observer, because other load of the machine changes more slowly than
/// that.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for storm in &STORMS {
        eprintln!("bench: {}", storm.title);
        let count = setup.scaled(storm.count);
        let time = || Ok::<_, anyhow::Error>(workload::time(storm.kind, count)?.as_secs_f64());
        let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| kind.is_for(storm.kind, setup)).collect();
        let mut all: Vec<Rounds> = kinds.iter().map(|_| Rounds::default()).collect();
        let (mut bare, mut noise) = (vec![time()?], Vec::new());
        for _ in 0..setup.rounds {
            for (kind, rounds) in kinds.iter().zip(&mut all) {
                let before = bare.last().copied().unwrap_or(f64::NAN);
                let Some(observer) = kind.start(setup, storm.names)? else { continue };
                let had = kind.records()?;
                let took = time()?;
                rounds.records.push(observer.settled(|| kind.records())? - had);
                rounds.costs.push(observer.finish().with_context(|| kind.name)?);
                let after = time()?;
                bare.push(after);
                noise.push(after / before);
                rounds.slowdowns.push(took / f64::midpoint(before, after));
            }
        }
        let bare = median(bare).unwrap_or(f64::NAN) * 1e9 / count as f64;
        rows.push(Row {
            workload: storm.title,
            observer: "none (a bare run by the bare one before)",
            turns: count,
            bare_ns_a_turn: bare,
            slowdown: Spread::of(noise),
            cpu_ns_a_turn: None,
            events: None,
            cpu_ns_an_event: None,
            ends: storm.ends * count,
            ends_seen: None,
            peak_rss_bytes: None,
        });
        rows.extend(kinds.iter().zip(all).map(|(kind, rounds)| row(storm, kind, rounds, bare, count)));
    }
    Ok(rows)
}

fn row(storm: &Storm, kind: &Kind, rounds: Rounds, bare: f64, count: u64) -> Row {
    let of = |figure: fn(&Cost) -> f64| median(rounds.costs.iter().map(figure));
    let cpu = of(|cost| cost.cpu.as_secs_f64() * 1e9);
    let has_lines = kind.said == Said::Lines;
    let events = match kind.said {
        Said::Lines => of(|cost| cost.lines as f64),
        Said::Records => median(rounds.records),
        Said::Polled(_) | Said::Nothing => None,
    };
    let sees_ends = has_lines && storm.ends > 0 && !kind.name.starts_with("execsnoop");
    Row {
        workload: storm.title,
        observer: kind.name,
        turns: count,
        bare_ns_a_turn: bare,
        slowdown: Spread::of(rounds.slowdowns),
        cpu_ns_a_turn: cpu.map(|cpu| cpu / count as f64),
        events,
        // If the workload makes hardly any records, the quotient means nothing.
        cpu_ns_an_event: cpu
            .zip(events)
            .filter(|(_, events)| *events * 10.0 >= count as f64)
            .map(|(cpu, events)| cpu / events),
        ends: storm.ends * count,
        ends_seen: of(|cost| cost.hits as f64).filter(|_| sees_ends),
        peak_rss_bytes: of(|cost| cost.peak_rss as f64),
    }
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let columns = [
        "workload",
        "observer",
        "slowdown (least-most)",
        "CPU a turn",
        "events",
        "CPU an event",
        "ends",
        "seen",
        "missed",
        "peak RSS",
    ];
    let mut table = Table::new("Storms", &columns);
    table.rows.extend(rows.iter().map(|row| {
        let ends = (row.ends > 0).then_some(row.ends as f64);
        let title = if row.cpu_ns_a_turn.is_none() {
            format!("{}: {:.2} us a turn", row.workload, row.bare_ns_a_turn / 1e3)
        } else {
            row.workload.to_owned()
        };
        vec![
            title,
            row.observer.to_owned(),
            row.slowdown.map_or_else(|| "-".to_owned(), |slowdown| slowdown.text(3)),
            cell(row.cpu_ns_a_turn.map(|ns| ns / 1e3), 2, "us"),
            cell(row.events, 0, ""),
            cell(row.cpu_ns_an_event.map(|ns| ns / 1e3), 2, "us"),
            cell(ends, 0, ""),
            cell(row.ends_seen, 0, ""),
            cell(row.missed(), 0, ""),
            cell(row.peak_rss_bytes.map(|bytes| bytes / MIB), 1, "MiB"),
        ]
    }));
    table
}
