//! Kills the daemon at many moments of a storm of short processes, and checks what its history lost: at most the lines that were
//! not flushed, and no more than the gap line of the next daemon says.
//!
//! The storm is made here: each process is waited for, so the kernel's answer to waitpid(2) is the oracle.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use taskscope_tests::setting;

/// Lines are written after 5 s at the latest. The writer pauses for 100 ms between batches, the ring is polled every 250 ms, and a
/// release may be reported an RCU grace period late.
const UNFLUSHED_MS: u64 = 7_000;

/// How long a daemon may take to start and to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tolerance when times are compared: names of files and lines have milliseconds, and waitpid(2) returns some time after the
/// release.
const SLACK_MS: u64 = 50;

/// How late a release may be reported: by an RCU grace period on the tracepoint rung. No pid is used again in this time.
const LATE_MS: u64 = 5_000;

/// The daemon concludes a release that has no record after this time at the latest. On most kernels each release has a record. On a
/// kernel that hides tasks, a release that an interrupt on top of a hidden task runs has none.
const CONCLUDED_MS: u64 = 6_000;

/// A child of the storm.
struct Reaped {
    pid: u32,
    /// Before it was started, and after waitpid(2) returned it, ms since the epoch.
    began_ms: u64,
    ended_ms: u64,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that is killed at the end, also when a check fails.
struct Daemon(Child);

impl Daemon {
    fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill().context("killing taskscope")?;
        self.0.wait().context("waiting for taskscope")?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn start(directory: &Path, family: &str) -> anyhow::Result<Daemon> {
    let socket = directory.join("socket");
    let _ = fs::remove_file(&socket);
    let daemon = Command::new(setting::taskscope())
        .args(["run", "--attach", family, "--listen", "", "--socket"])
        .arg(&socket)
        .arg("--history")
        .arg(directory.join("history"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting taskscope")?;
    let daemon = Daemon(daemon);
    let end = Instant::now() + DEADLINE;
    loop {
        let status = Command::new(setting::taskscope()).args(["status", "--socket"]).arg(&socket).output();
        if status.context("asking taskscope")?.status.success() {
            return Ok(daemon);
        }
        ensure!(Instant::now() < end, "taskscope is not ready");
        sleep(Duration::from_millis(50));
    }
}

/// Starts and waits for short processes for a time.
fn storm(lasting: Duration, reaped: &mut Vec<Reaped>) -> anyhow::Result<()> {
    let end = Instant::now() + lasting;
    while Instant::now() < end {
        let began_ms = now_ms();
        let mut child = Command::new("/bin/true").spawn().context("starting /bin/true")?;
        let pid = child.id();
        child.wait().context("waiting for /bin/true")?;
        reaped.push(Reaped { pid, began_ms, ended_ms: now_ms() });
    }
    Ok(())
}

/// Runs `taskscope` on the directory; returns its lines.
fn lines(args: &[&str], directory: &Path) -> anyhow::Result<Vec<Value>> {
    let output = Command::new(setting::taskscope())
        .args(args)
        .arg("--from")
        .arg(directory.join("history"))
        .output()
        .context("starting taskscope")?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("the answer")?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Runs the turns; the table goes to stdout.
pub(crate) fn all(family: &str, turns: u32) -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(format!("taskscope-kills-{}", std::process::id()));
    fs::create_dir_all(&directory).context("making a directory")?;
    let directory = Directory(directory);
    let (mut dice, mut total, mut lost_total, mut oldest_ms) = (0x9e37_79b9_u32, 0, 0, 0);
    let mut daemon = start(&directory.0, family)?;
    for turn in 1..=turns {
        let mut reaped = Vec::new();
        let begun_ms = now_ms();
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // A fixed series of moments, from 0 to 8 s: before and after a flush.
        storm(Duration::from_millis(u64::from(dice >> 16) % 8000), &mut reaped)?;
        daemon.kill()?;
        let killed_ms = now_ms();
        daemon = start(&directory.0, family)?;
        // A process makes the next daemon write, and so its gap line.
        storm(Duration::from_millis(200), &mut Vec::new())?;
        let socket = directory.0.join("socket");
        let flushed = Command::new(setting::taskscope())
            .args(["lives", "--since", "1h", "--limit", "1", "--socket"])
            .arg(&socket)
            .output();
        ensure!(flushed.context("starting taskscope")?.status.success(), "the history is not written");
        let since = format!("{}ms", now_ms().saturating_sub(begun_ms) + 60_000);
        let lives = lines(&["lives", "--since", &since], &directory.0)?;
        let known: Vec<(u64, u64)> = lives
            .iter()
            .filter_map(|life| Some((life["process"]["pid"].as_u64()?, life["@timestamp"].as_str()?)))
            .filter_map(|(pid, text)| Some((pid, ms_of(text)?)))
            .collect();
        let mut by_pid: HashMap<u64, Vec<u64>> = HashMap::new();
        for (pid, ms) in known {
            by_pid.entry(pid).or_default().push(ms);
        }
        let concluded_ms = if hides_tasks(&directory.0)? { CONCLUDED_MS } else { 0 };
        let is_known = |child: &Reaped| {
            let times = child.began_ms.saturating_sub(SLACK_MS)..=child.ended_ms + LATE_MS + concluded_ms;
            by_pid.get(&u64::from(child.pid)).is_some_and(|all| all.iter().any(|ms| times.contains(ms)))
        };
        let lost: Vec<&Reaped> = reaped.iter().filter(|child| !is_known(child)).collect();
        let gap_from = gap_from(&directory.0, &since, killed_ms)?;
        let before = lost.iter().filter(|child| child.ended_ms + SLACK_MS + concluded_ms < gap_from);
        let before: Vec<_> =
            before.map(|child| (child.pid, child.ended_ms.saturating_sub(begun_ms))).collect();
        if !before.is_empty() {
            eprintln!(
                "kills: turn {turn}: killed after {} ms, the gap begins after {} ms; missing before it (pid, ms): {:?}, {} in all; gaps: {}",
                killed_ms - begun_ms,
                gap_from.saturating_sub(begun_ms),
                before.get(..before.len().min(5)),
                before.len(),
                lines_as_one(&directory.0, &since)?["history"]
            );
        }
        for child in &lost {
            let age = killed_ms.saturating_sub(child.ended_ms);
            oldest_ms = oldest_ms.max(age);
            if age > UNFLUSHED_MS + concluded_ms {
                bail!("turn {turn}: {} ended {age} ms before the kill and is not in the history", child.pid);
            }
            if child.ended_ms + SLACK_MS + concluded_ms < gap_from {
                bail!(
                    "turn {turn}: {} ended at {} and is missing, and the gap begins at {gap_from}",
                    child.pid,
                    child.ended_ms
                );
            }
        }
        total += reaped.len();
        lost_total += lost.len();
        eprintln!(
            "kills: turn {turn}: {} processes, {} not written yet when it was killed",
            reaped.len(),
            lost.len()
        );
    }
    daemon.kill()?;
    println!("kill -9 of the daemon     {turns}");
    println!("processes in the storms   {total}");
    println!(
        "not in the history        {lost_total}, the oldest {oldest_ms} ms before its kill; all within the gaps that it reports"
    );
    Ok(())
}

/// Parses `2026-11-29T02:39:17.123Z` without a process of its own: days by the rule of the civil calendar.
fn ms_of(text: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second, ms) = (part(11..13)?, part(14..16)?, part(17..19)?, part(20..23)?);
    // March is the first month, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms)
}

/// Returns a timestamp that must be there.
fn parsed(text: &str) -> anyhow::Result<u64> {
    ms_of(text).with_context(|| format!("`{text}` is no timestamp"))
}

/// Returns the beginning of the gap that the daemon reported after a kill, ms since the epoch.
fn gap_from(directory: &Path, since: &str, killed_ms: u64) -> anyhow::Result<u64> {
    let answer = lines_as_one(directory, since)?;
    let gaps = answer["history"]["gaps"].as_array().cloned().unwrap_or_default();
    for gap in gaps.iter().rev().filter(|gap| gap["place"] == "not_running") {
        let to = parsed(gap["to"].as_str().unwrap_or_default())?;
        if to + SLACK_MS >= killed_ms {
            return match gap["from"].as_str() {
                Some(from) => parsed(from),
                // Nothing was on disk.
                None => Ok(0),
            };
        }
    }
    // Nothing was on disk when the daemon was killed: the known time begins after the kill.
    if let Some(known) = answer["history"]["known_since"].as_str()
        && parsed(known)? + SLACK_MS >= killed_ms
    {
        return Ok(0);
    }
    bail!("no gap line reports the kill at {killed_ms}: {gaps:?}")
}

/// Returns whether the daemon says that this kernel hides tasks from it.
fn hides_tasks(directory: &Path) -> anyhow::Result<bool> {
    let output = Command::new(setting::taskscope())
        .args(["status", "--format", "json", "--socket"])
        .arg(directory.join("socket"))
        .output()
        .context("starting taskscope")?;
    let status: Value = serde_json::from_slice(&output.stdout).context("the status")?;
    let degraded = status["degraded"].as_array().cloned().unwrap_or_default();
    Ok(degraded.iter().filter_map(Value::as_str).any(|why| why.starts_with("hidden tasks")))
}

fn lines_as_one(directory: &Path, since: &str) -> anyhow::Result<Value> {
    let output = Command::new(setting::taskscope())
        .args(["deaths", "--since", since, "--limit", "1", "--format", "json", "--from"])
        .arg(directory.join("history"))
        .output()
        .context("starting taskscope")?;
    serde_json::from_slice(&output.stdout).context("the answer of deaths")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a timestamp of a line as ms since the epoch, by date(1).
    fn by_date(text: &str) -> anyhow::Result<u64> {
        let output = Command::new("date").args(["-d", text, "+%s%3N"]).output().context("starting date")?;
        String::from_utf8_lossy(&output.stdout).trim().parse().with_context(|| format!("date -d {text}"))
    }

    #[test]
    fn a_timestamp_is_the_one_of_date() {
        for text in [
            "2026-11-29T02:39:17.123Z",
            "2024-02-29T23:59:59.999Z",
            "2000-03-01T00:00:00.000Z",
            "1970-01-01T00:00:00.000Z",
        ] {
            assert_eq!(ms_of(text), Some(by_date(text).unwrap_or_else(|error| panic!("{error}"))), "{text}");
        }
    }
}
