//! What grows with the number of tasks, and what must not: reading all tasks, a scrape, memory.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    Setup,
    process::Observer,
    table::{Table, median},
    workload,
};

const ADDRESS: &str = "127.0.0.1:19854";
const SIZES: [u64; 4] = [100, 1_000, 10_000, 30_000];

/// Measures the daemon beside /proc.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Table> {
    let columns = [
        "sleeping threads",
        "tasks",
        "all tasks read",
        "from /proc",
        "ratio",
        "scrape",
        "scrape size",
        "RSS",
    ];
    let mut table = Table::new("Growth with the number of tasks", &columns);
    let sizes = if setup.quick { &SIZES[..2] } else { &SIZES[..] };
    for &size in sizes {
        let mut crowd = workload::command("sleepers", size)?.spawn().context("starting sleepers")?;
        let mut made = String::new();
        BufReader::new(crowd.stdout.take().context("its stdout")?).read_line(&mut made)?;
        let row = one(setup, made.trim());
        drop(crowd.stdin.take());
        crowd.wait().context("waiting for the sleepers")?;
        table.rows.push(row?);
    }
    Ok(table)
}

fn one(setup: &Setup, made: &str) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(&setup.taskscope);
    command.args([
        "run",
        "--listen",
        ADDRESS,
        "--socket",
        "/tmp/taskscope-bench.sock",
        "--audit-every",
        "1s",
    ]);
    let observer = Observer::start(command, "taskscope: ready", |_| false)?;
    let mut reads = Vec::new();
    let mut scrapes = Vec::new();
    let mut size = 0;
    let mut tasks = 0.0;
    let mut procs = Vec::new();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(1100));
        let start = Instant::now();
        let text = scrape()?;
        scrapes.push(start.elapsed().as_secs_f64());
        size = text.len();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(f64::NAN)
        };
        reads.push(value("taskscope_resync_duration_seconds "));
        tasks = value("taskscope_tasks{state=\"running\"} ");
        let start = Instant::now();
        read_proc();
        procs.push(start.elapsed().as_secs_f64());
    }
    let (read, proc, scrape) = (median(reads).0, median(procs).0, median(scrapes).0);
    let status = fs::read_to_string(format!("/proc/{}/status", observer.pid())).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let rss_kib: f64 = rss.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN);
    Ok(vec![
        made.to_owned(),
        format!("{tasks:.0}"),
        format!("{:.2} ms", read * 1e3),
        format!("{:.2} ms", proc * 1e3),
        format!("{:.1}", proc / read),
        format!("{:.2} ms", scrape * 1e3),
        format!("{:.1} KiB", size as f64 / 1024.0),
        format!("{:.1} MiB", rss_kib / 1024.0),
    ])
}

fn scrape() -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(ADDRESS).context("connecting for a scrape")?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What a poller reads: the stat of every task. Tasks that end meanwhile are left out.
fn read_proc() {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let tasks = process.path().join("task");
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let _ = fs::read(task.path().join("stat"));
        }
    }
}
