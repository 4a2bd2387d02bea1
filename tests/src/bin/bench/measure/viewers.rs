//! What viewers cost the daemon on a host with many tasks: `taskscope top` in terminals, and the web page in a browser.

use std::{
    env,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use taskscope_tests::{
    browser::Browser,
    tmux::{self, Tmux},
    top,
};

use crate::{
    Setup, crowd::Crowd, figure::MIB, observers::OURS, process::Observer, relay::Relay, table::Table,
};

const SOCKET: &str = "/tmp/taskscope-bench.sock";
const RELAY: &str = "/tmp/taskscope-bench-relay.sock";
/// Processes with one thread each.
const PROCESSES: u64 = 20_000;
/// Additional threads, in a few processes.
const THREADS: u64 = 80_000;
const VIEWERS: [usize; 2] = [1, 10];
/// Views of the page.
const VIEWS: [&str; 4] = ["overview", "tree", "events", "timeline"];
/// How long viewers may take to read what they read only once.
const SETTLED: Duration = Duration::from_secs(8);
const MEASURED: Duration = Duration::from_secs(15);

/// The daemon's cost with some viewers.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    tasks: u64,
    viewers: usize,
    /// `top`, or a view of the page.
    view: String,
    cpu_ns_a_second: f64,
    answered_bytes_a_second: f64,
    peak_rss_bytes: f64,
}

/// Measures the daemon with each number of viewers of each kind.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Vec<Row>> {
    let (processes, threads) = (setup.scaled(PROCESSES), setup.scaled(THREADS));
    eprintln!("bench: viewers, {processes} sleeping processes and {threads} sleeping threads");
    let (processes, threads) = (Crowd::of_processes(processes)?, Crowd::new(threads)?);
    let tasks = processes.made + threads.made;
    let mut rows = vec![one(setup, tasks, "none", 0, |_| ())?];
    let terminals = tmux::is_there();
    let browser =
        ["TASKSCOPE_CHROMIUM", "TASKSCOPE_NODE_MODULES"].iter().all(|name| env::var_os(name).is_some());
    for viewers in VIEWERS {
        if terminals {
            rows.push(one(setup, tasks, "top", viewers, |relay| tops(setup, viewers, relay))?);
        }
        for view in VIEWS.iter().filter(|_| browser) {
            rows.push(one(setup, tasks, view, viewers, |relay| pages(view, viewers, relay))?);
        }
    }
    for missing in
        [(terminals, "tmux"), (browser, "Chromium and playwright")].iter().filter(|(there, _)| !there)
    {
        eprintln!("bench: viewers: without {}", missing.1);
    }
    Ok(rows)
}

/// Starts viewers with a daemon of their own and measures it while they exist.
fn one<V>(
    setup: &Setup,
    tasks: u64,
    view: &str,
    viewers: usize,
    start: impl FnOnce(&Path) -> V,
) -> anyhow::Result<Row> {
    let mut command = Command::new(&setup.taskscope);
    command.args(["run", "--listen", OURS, "--socket", SOCKET]);
    let observer = Observer::start(command, "taskscope: ready", |_| false)?;
    let relay = Relay::start(Path::new(RELAY), Path::new(SOCKET))?;
    let started = start(relay.path());
    thread::sleep(SETTLED);
    let (before, bytes, begun) = (observer.cost()?, relay.answered(), Instant::now());
    thread::sleep(MEASURED);
    let (cost, answered) = (observer.cost()?, relay.answered() - bytes);
    let seconds = begun.elapsed().as_secs_f64();
    drop(started);
    Ok(Row {
        tasks,
        viewers,
        view: view.to_owned(),
        cpu_ns_a_second: cost.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e9 / seconds,
        answered_bytes_a_second: answered as f64 / seconds,
        peak_rss_bytes: cost.peak_rss as f64,
    })
}

fn tops(setup: &Setup, viewers: usize, socket: &Path) -> Vec<Tmux> {
    let start = |_| {
        let tmux = Tmux::start(120, 40);
        tmux.types(&format!("{} top --socket {}", setup.taskscope.display(), socket.display()));
        tmux.presses("Enter");
        tmux
    };
    let all: Vec<_> = (0..viewers).map(start).collect();
    all.iter().for_each(top::is_shown);
    all
}

fn pages(view: &str, viewers: usize, socket: &Path) -> Browser {
    let browser = Browser::start();
    let url = format!("{}#/{view}", browser.proxy(socket));
    browser.open(&url, (1280, 800), "light");
    for _ in 1..viewers {
        browser.open_another(&url);
    }
    browser
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let columns = ["tasks", "viewers", "CPU of the daemon", "bytes/s, all viewers", "peak RSS"];
    let mut table = Table::new("Viewers", &columns);
    table.rows.extend(rows.iter().map(|row| {
        vec![
            row.tasks.to_string(),
            if row.viewers == 0 { row.view.clone() } else { format!("{} {}", row.viewers, row.view) },
            format!("{:.1} %", row.cpu_ns_a_second / 1e7),
            format!("{:.0} kB", row.answered_bytes_a_second / 1e3),
            format!("{:.1} MiB", row.peak_rss_bytes / MIB),
        ]
    }));
    table
}
