//! The taskscope under test. Its events are applied to a tree and not kept.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use taskscope_tests::{
    event::Event,
    replay, setting, spawner,
    tree::{self, Tree},
};

/// How long the tree may take to become equal to /proc, after losses of any size.
const DEADLINE: Duration = Duration::from_secs(120);

/// Lines of the daemon's log that are shown and kept; the others are details of its work.
const KEPT: [&str; 3] = ["taskscope: warning:", "taskscope: error:", "taskscope: summary:"];

/// Ring sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// One page: it loses records at every burst.
    Page,
    /// 256 KiB: it loses records when the daemon is stopped.
    Small,
    /// The default.
    Usual,
}

/// Number of comparisons with the kernel's tasks for one reason, from the daemon's log.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) count: u64,
    pub(crate) total_us: u64,
    pub(crate) longest_us: u64,
}

/// State of the thread that reads the events.
#[derive(Default)]
struct Seen {
    tree: Tree,
    repaired: u64,
    gaps: u64,
    broken: Option<String>,
}

/// The running daemon.
pub(crate) struct Daemon {
    child: Child,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
    log: Option<JoinHandle<Vec<String>>>,
    audits: Arc<Mutex<Cost>>,
}

/// What a daemon that ended by itself printed.
pub(crate) struct End {
    /// The line that begins with `taskscope: summary:`.
    pub(crate) summary: String,
    /// Number of events that a comparison added.
    pub(crate) repaired_events: u64,
    /// Number of gap records in its stream.
    pub(crate) gaps: u64,
}

impl Daemon {
    pub(crate) fn start(family: &str, ring: Ring) -> anyhow::Result<Self> {
        let mut command = Command::new(setting::taskscope());
        command.args([
            "events",
            "--attach",
            family,
            "--audit-every",
            "20s",
            "--canary-every",
            "5s",
            "--verbose",
        ]);
        match ring {
            Ring::Page => drop(command.args(["--ring-kib", "4"])),
            Ring::Small => drop(command.args(["--ring-kib", "256"])),
            Ring::Usual => {}
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawner::spawn(command).context("starting taskscope")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reader = read_events(stdout, Arc::clone(&seen));
        let audits = Arc::new(Mutex::new(Cost::default()));
        let (ready, is_ready) = mpsc::channel();
        let costs = Arc::clone(&audits);
        let log = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in stderr.into_iter().flat_map(|err| BufReader::new(err).lines()).map_while(Result::ok) {
                if line.starts_with("taskscope: ready") {
                    // After a timeout the receiver is gone.
                    let _ = ready.send(());
                } else if let Some(us) = audit_us(&line) {
                    costs.lock().unwrap_or_else(PoisonError::into_inner).add(us);
                } else if !line.starts_with("taskscope: ") || KEPT.iter().any(|start| line.starts_with(start))
                {
                    if !line.contains("records lost in the kernel") {
                        eprintln!("  {line}");
                    }
                    lines.push(line);
                }
            }
            lines
        });
        let daemon = Self { child, seen, reader, log: Some(log), audits };
        is_ready.recv_timeout(DEADLINE).context("taskscope did not get ready")?;
        Ok(daemon)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the processes below `root` are those of /proc according to the events. They are all stopped.
    pub(crate) fn compare(&self, root: i64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let proc = tree::below(&tree::from_proc(Path::new("/proc"))?, root);
            let ours = tree::below(&self.seen().tree, root);
            let differences = tree::differences(&proc, &ours);
            ensure!(proc.contains_key(&root), "{root} is not in /proc: the scenario ended by itself");
            if differences.is_empty() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > DEADLINE {
                bail!("the tree below {root} differs from /proc:\n{}", differences.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until no process below `root` is left in the tree: their deaths were reported or repaired.
    pub(crate) fn forgets(&self, root: i64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.seen().tree.contains_key(&root) {
            ensure!(begun.elapsed() < DEADLINE, "{root} is gone and its release was not reported");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: i32) {
        spawner::signal(&self.child, signal);
    }

    /// Returns the durations of its audits so far.
    pub(crate) fn audits(&self) -> Cost {
        *self.audits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns its resident memory now, KiB.
    pub(crate) fn rss_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// Returns the peak of its resident memory, KiB.
    pub(crate) fn peak_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &'static str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {path}: taskscope has ended"))?;
        let line =
            text.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
        Ok(line.split_whitespace().nth(1).with_context(|| format!("{field} is empty"))?.parse()?)
    }

    fn join(&mut self) -> Vec<String> {
        self.reader.take().map(JoinHandle::join);
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }

    /// Ends the daemon by SIGTERM; it must exit with 0 and balanced sums.
    pub(crate) fn stop(&mut self) -> anyhow::Result<End> {
        self.signal(libc::SIGTERM);
        let status = self.child.wait()?;
        let log = self.join();
        ensure!(status.success(), "taskscope ended with {status}:\n{}", log.join("\n"));
        let wrong: Vec<&String> = log.iter().filter(|line| line.contains("do not add up")).collect();
        ensure!(wrong.is_empty(), "{wrong:?}");
        let summary = log.iter().find(|line| line.starts_with("taskscope: summary:")).cloned();
        let seen = self.seen();
        if let Some(broken) = &seen.broken {
            bail!("a line of stdout is no event: {broken}");
        }
        let summary = summary.context("no summary")?;
        Ok(End { summary, repaired_events: seen.repaired, gaps: seen.gaps })
    }

    /// Kills the daemon by SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(libc::SIGKILL);
        self.child.wait()?;
        self.join();
        Ok(())
    }
}

impl Cost {
    fn add(&mut self, us: u64) {
        self.count += 1;
        self.total_us += us;
        self.longest_us = self.longest_us.max(us);
    }
}

/// Returns how long an audit took, if the line reports one.
fn audit_us(line: &str) -> Option<u64> {
    line.split_once("tasks (Audit) in ")?.1.split(' ').next()?.parse().ok()
}

/// Reads as fast as taskscope writes, so that taskscope's memory has no waiting output. Another thread parses the lines.
fn read_events(stdout: Option<ChildStdout>, seen: Arc<Mutex<Seen>>) -> Option<JoinHandle<()>> {
    let stdout = stdout?;
    let (raw, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::with_capacity(1 << 20, stdout).lines().map_while(Result::ok) {
            if raw.send(line).is_err() {
                break;
            }
        }
    });
    Some(std::thread::spawn(move || {
        for line in lines {
            seen.lock().unwrap_or_else(PoisonError::into_inner).take(&line);
        }
    }))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // If the child was reaped already, std does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn take(&mut self, line: &str) {
        match Event::parse(line) {
            Ok(event) => {
                self.repaired += u64::from(event.text("task.provenance") == Some("repaired"));
                replay::apply(&mut self.tree, &event);
            }
            Err(_) if line.contains(r#""action":"gap""#) => self.gaps += 1,
            Err(error) => self.broken = Some(format!("{error:#}: {line}")),
        }
    }
}
