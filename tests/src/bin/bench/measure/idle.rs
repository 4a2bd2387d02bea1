//! What observers cost when nothing happens, with few tasks and with many that sleep.

use std::{thread, time::Duration};

use serde::Serialize;

use crate::{
    Setup,
    crowd::Crowd,
    figure::{MIB, cell},
    http,
    observers::KINDS,
    process::Observer,
    table::Table,
};

/// Time between the start and the measurement: what starting causes is over.
const SETTLE: Duration = Duration::from_secs(10);

/// One observer on a quiet host.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) sleepers: u64,
    pub(crate) observer: &'static str,
    /// CPU time per second of observing, without scrapes.
    pub(crate) cpu_ns_a_second: f64,
    /// CPU time per second of an exporter that is scraped every second.
    pub(crate) scraped_ns_a_second: Option<f64>,
    pub(crate) peak_rss_bytes: f64,
}

/// Measures all observers.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Vec<Row>> {
    let seconds: u32 = if setup.quick { 2 } else { 10 };
    let mut rows = Vec::new();
    for sleepers in [0, setup.scaled(100_000)] {
        eprintln!("bench: a quiet host with {sleepers} sleeping threads");
        let crowd = if sleepers > 0 { Some(Crowd::new(sleepers)?) } else { None };
        let made = crowd.as_ref().map_or(0, |crowd| crowd.made);
        for kind in KINDS.iter().filter(|kind| kind.is_for("idle", setup)) {
            let Some(observer) = kind.start(setup, &[])? else { continue };
            thread::sleep(if setup.quick { Duration::ZERO } else { SETTLE });
            let cpu_ns_a_second = cpu(&observer, seconds, || ())?;
            let scraped = kind.address().map(|address| {
                cpu(&observer, seconds, || {
                    if let Err(error) = http::scrape(address) {
                        eprintln!("bench: {} gave no figures: {error:#}", kind.name);
                    }
                })
            });
            let scraped_ns_a_second = scraped.transpose()?;
            let peak_rss_bytes = observer.cost()?.peak_rss as f64;
            drop(observer);
            rows.push(Row {
                sleepers: made,
                observer: kind.name,
                cpu_ns_a_second,
                scraped_ns_a_second,
                peak_rss_bytes,
            });
        }
    }
    Ok(rows)
}

/// Returns the CPU time that an observer takes in a second, as the mean of some seconds; `each` is called in each.
fn cpu(observer: &Observer, seconds: u32, mut each: impl FnMut()) -> anyhow::Result<f64> {
    let before = observer.cost()?.cpu;
    for _ in 0..seconds {
        thread::sleep(Duration::from_secs(1));
        each();
    }
    let took = observer.cost()?.cpu.saturating_sub(before);
    Ok(took.as_secs_f64() * 1e9 / f64::from(seconds))
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let columns = ["sleeping threads", "observer", "CPU a second", "with a scrape a second", "peak RSS"];
    let mut table = Table::new("A quiet host", &columns);
    table.rows.extend(rows.iter().map(|row| {
        vec![
            row.sleepers.to_string(),
            row.observer.to_owned(),
            format!("{:.2} ms", row.cpu_ns_a_second / 1e6),
            cell(row.scraped_ns_a_second.map(|ns| ns / 1e6), 2, "ms"),
            format!("{:.1} MiB", row.peak_rss_bytes / MIB),
        ]
    }));
    table
}
