//! Runs an observer as a child: counts its output and measures its cost.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// How long an observer may take to get ready.
const READY: Duration = Duration::from_secs(30);
/// How long to wait for an observer that does not report when it is ready.
const SOME_TIME: Duration = Duration::from_secs(2);
/// After this time without output, the observer has written everything.
const QUIET: Duration = Duration::from_millis(400);
/// The longest wait for an observer to stop writing.
const ENOUGH: Duration = Duration::from_secs(20);

/// A running observer.
pub(crate) struct Observer {
    child: Child,
    lines: Arc<AtomicU64>,
    hits: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
    cpu_at_start: Duration,
}

/// What the observer has seen and cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Number of lines that it wrote.
    pub(crate) lines: u64,
    /// Number of lines about ends of the workload's processes.
    pub(crate) hits: u64,
    /// CPU time since it was ready.
    pub(crate) cpu: Duration,
    /// Peak resident memory, bytes.
    pub(crate) peak_rss: u64,
}

impl Observer {
    /// Starts an observer; `is_hit` selects lines to count. It is ready when a line on stdout or stderr contains `ready`; if
    /// `ready` is empty, after a fixed time.
    pub(crate) fn start(
        mut command: Command,
        ready: &'static str,
        is_hit: impl Fn(&str) -> bool + Send + 'static,
    ) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (lines, hits) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (sender, signs) = channel();
        let reader = child.stdout.take().map(|stdout| {
            let (lines, hits, sender) = (Arc::clone(&lines), Arc::clone(&hits), sender.clone());
            thread::spawn(move || {
                read(stdout, |line| {
                    if lines.fetch_add(1, Ordering::Relaxed) == 0 {
                        // Sending fails only if the receiver was dropped.
                        let _ = sender.send(line.to_owned());
                    }
                    hits.fetch_add(u64::from(is_hit(line)), Ordering::Relaxed);
                });
            })
        });
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || read(stderr, |line| drop(sender.send(line.to_owned()))));
        }
        let mut observer = Self { child, lines, hits, reader, cpu_at_start: Duration::ZERO };
        if ready.is_empty() {
            // Some observers buffer their output if it is not a terminal.
            thread::sleep(SOME_TIME);
        } else {
            wait_ready(&signs, ready, &name)?;
        }
        observer.cpu_at_start = observer.cpu()?;
        Ok(observer)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the CPU time of all threads of the observer, ns, from the scheduler (/proc/PID/task/TID/schedstat).
    fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = 0;
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid())).context("reading its threads")? {
            let text = fs::read_to_string(entry?.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// Waits until the observer has written everything, then asks.
    pub(crate) fn settled<T>(&self, ask: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.wait_quiet();
        ask()
    }

    /// Returns what the observer has cost since it was ready.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).context("reading its status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kib: u64 =
            peak.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        Ok(Cost {
            lines: 0,
            hits: 0,
            cpu: self.cpu()?.saturating_sub(self.cpu_at_start),
            peak_rss: peak_kib * 1024,
        })
    }

    /// Measures the cost, ends the observer, and counts its lines: some observers write only at their end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Cost> {
        self.wait_quiet();
        let cost = self.cost()?;
        self.end();
        let said = self.reader.take().map(JoinHandle::join);
        if matches!(said, Some(Err(_))) {
            bail!("the thread that counts lines panicked");
        }
        Ok(Cost {
            lines: self.lines.load(Ordering::Relaxed),
            hits: self.hits.load(Ordering::Relaxed),
            ..cost
        })
    }

    fn wait_quiet(&self) {
        let end = Instant::now() + ENOUGH;
        let (mut last, mut since) = (self.lines.load(Ordering::Relaxed), Instant::now());
        while since.elapsed() < QUIET && Instant::now() < end {
            thread::sleep(QUIET / 20);
            let now = self.lines.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }
}

fn wait_ready(signs: &Receiver<String>, ready: &str, name: &str) -> anyhow::Result<()> {
    let end = Instant::now() + READY;
    let mut said = Vec::new();
    loop {
        match signs.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(ready) => return Ok(()),
            Ok(line) => said.push(line),
            Err(_) => bail!("{name} did not get ready; its output: {}", said.join("; ")),
        }
    }
}

impl Observer {
    fn end(&mut self) {
        // SAFETY: kill takes integers; the pid is of a child that was not waited for yet.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGINT) };
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn read(from: impl Read, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::with_capacity(1 << 20, from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        each(&String::from_utf8_lossy(&line));
        line.clear();
    }
}
