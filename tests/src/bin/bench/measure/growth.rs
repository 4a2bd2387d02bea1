//! Costs that may grow with the number of tasks: reading all tasks, a scrape, memory, the cost of a record.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    Setup,
    bpf::{self, code::write_for_each},
    crowd::Crowd,
    figure::{MIB, cell, median},
    http,
    observers::{KINDS, OURS, Said},
    process::Observer,
    table::Table,
    workload,
};

const SIZES: [u64; 4] = [100, 1_000, 10_000, 100_000];
/// Size of the record that taskscope reads of each task.
const RECORD: i16 = 240;
/// Lives in the storm that measures the cost of a record.
const STORM: u64 = 5_000;

/// All measurements with one number of tasks.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) sleepers: u64,
    pub(crate) tasks: f64,
    /// From the start of the daemon until it was ready.
    pub(crate) start_ns: f64,
    /// Peak resident memory of the daemon when it was ready.
    pub(crate) start_rss_bytes: f64,
    /// One comparison of the tree with all tasks by the kernel's iterator.
    pub(crate) read_ns: f64,
    /// The iterator's walk over all tasks with a program that does nothing.
    pub(crate) walk_ns: Option<f64>,
    /// The iterator's walk with a program that writes an empty record of the same size for each task.
    pub(crate) write_ns: Option<f64>,
    /// Reading the stat of each task in /proc.
    pub(crate) procfs_ns: f64,
    pub(crate) scrape_ns: f64,
    pub(crate) scrape_bytes: usize,
    pub(crate) rss_bytes: f64,
    /// CPU time of the daemon for a record, in a storm beside the sleepers.
    pub(crate) cpu_ns_a_record: f64,
    pub(crate) rivals: Vec<Rival>,
}

/// A scrape of another exporter.
#[derive(Debug, Serialize)]
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) scrape_ns: f64,
    pub(crate) scrape_bytes: usize,
}

/// Measures the daemon beside /proc and the exporters that read it.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Vec<Row>> {
    let sizes = if setup.quick { &SIZES[..2] } else { &SIZES[..] };
    sizes
        .iter()
        .map(|&size| {
            eprintln!("bench: growth, {size} sleeping threads");
            let crowd = Crowd::new(size)?;
            one(setup, crowd.made)
        })
        .collect()
}

fn one(setup: &Setup, sleepers: u64) -> anyhow::Result<Row> {
    let mut command = Command::new(&setup.taskscope);
    command.args(["run", "--listen", OURS, "--socket", "/tmp/taskscope-bench.sock", "--audit-every", "1s"]);
    let begin = Instant::now();
    let observer = Observer::start(command, "taskscope: ready", |_| false)?;
    let start_ns = begin.elapsed().as_secs_f64() * 1e9;
    let start_rss_bytes = observer.cost()?.peak_rss as f64;
    let iterator = bpf::programs().into_iter().find(|program| program.name.starts_with("task_iterator"));
    let (mut reads, mut scrapes, mut procs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut walks, mut writes) = (Vec::new(), Vec::new());
    let mut page = String::new();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(1100));
        let start = Instant::now();
        page = http::scrape(OURS)?;
        scrapes.push(start.elapsed().as_secs_f64() * 1e9);
        reads.push(http::sum(&page, "taskscope_resync_duration_seconds") * 1e9);
        if let Some(iterator) = &iterator {
            let walk = |code: &[u64]| bpf::walk_like(iterator, code).context("walking all tasks");
            walks.push(walk(&bpf::NOTHING)?.as_secs_f64() * 1e9);
            writes.push(walk(&write_for_each(RECORD))?.as_secs_f64() * 1e9);
        }
        let start = Instant::now();
        read_proc();
        procs.push(start.elapsed().as_secs_f64() * 1e9);
    }
    let status =
        fs::read_to_string(format!("/proc/{}/status", observer.pid())).context("reading its status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let rss_kib: f64 = rss.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN);
    let tasks = http::sum(&page, "taskscope_tasks");
    let figure = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    drop(observer);
    Ok(Row {
        sleepers,
        tasks,
        start_ns,
        start_rss_bytes,
        read_ns: figure(reads),
        walk_ns: median(walks),
        write_ns: median(writes),
        procfs_ns: figure(procs),
        scrape_ns: figure(scrapes),
        scrape_bytes: page.len(),
        rss_bytes: rss_kib * 1024.0,
        cpu_ns_a_record: cost_of_a_record(setup)?,
        rivals: rivals(setup)?,
    })
}

/// Measures the CPU time of a record, with audits at their default interval.
fn cost_of_a_record(setup: &Setup) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.said == Said::Records) {
        for _ in 0..3 {
            let Some(observer) = kind.start(setup, &[])? else { continue };
            let (cpu, had) = (observer.cost()?.cpu, kind.records()?);
            workload::time("vfork", setup.scaled(STORM))?;
            let had = observer.settled(|| kind.records())? - had;
            costs.push(observer.cost()?.cpu.saturating_sub(cpu).as_secs_f64() * 1e9 / had);
            observer.finish()?;
        }
    }
    median(costs).context("nothing to measure the cost of a record with")
}

fn rivals(setup: &Setup) -> anyhow::Result<Vec<Rival>> {
    let mut rows = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.is_for("idle", setup)) {
        let Said::Polled(address) = kind.said else { continue };
        let Some(observer) = kind.start(setup, &[])? else { continue };
        let (mut times, mut size) = (Vec::new(), 0);
        for _ in 0..5 {
            let start = Instant::now();
            match http::scrape(address) {
                Ok(page) => size = page.len(),
                Err(error) => {
                    eprintln!("bench: {} gave no figures: {error:#}", kind.name);
                    break;
                }
            }
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        drop(observer);
        rows.extend(median(times).map(|scrape_ns| Rival { name: kind.name, scrape_ns, scrape_bytes: size }));
    }
    Ok(rows)
}

/// Reads the stat of every task, as a polling tool does. Tasks that end in the meantime are left out.
fn read_proc() {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let tasks = process.path().join("task");
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let _ = fs::read(task.path().join("stat"));
        }
    }
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let columns = [
        "tasks",
        "all tasks read",
        "walk alone",
        "with empty records",
        "/proc read",
        "ratio",
        "CPU a record",
        "scrape",
        "size",
        "RSS",
        "start",
        "peak RSS at start",
        "scrapes of others",
    ];
    let mut table = Table::new("Growth with the number of tasks", &columns);
    let ms = |ns: f64| cell(Some(ns / 1e6), 2, "ms");
    table.rows.extend(rows.iter().map(|row| {
        let rivals = row.rivals.iter().map(|rival| {
            format!("{} {}, {:.0} KiB", rival.name, ms(rival.scrape_ns), rival.scrape_bytes as f64 / 1024.0)
        });
        vec![
            format!("{:.0}", row.tasks),
            ms(row.read_ns),
            cell(row.walk_ns.map(|ns| ns / 1e6), 2, "ms"),
            cell(row.write_ns.map(|ns| ns / 1e6), 2, "ms"),
            ms(row.procfs_ns),
            format!("{:.1}", row.procfs_ns / row.read_ns),
            cell(Some(row.cpu_ns_a_record / 1e3), 2, "us"),
            ms(row.scrape_ns),
            format!("{:.1} KiB", row.scrape_bytes as f64 / 1024.0),
            format!("{:.1} MiB", row.rss_bytes / MIB),
            ms(row.start_ns),
            format!("{:.1} MiB", row.start_rss_bytes / MIB),
            rivals.collect::<Vec<_>>().join("; "),
        ]
    }));
    table
}
