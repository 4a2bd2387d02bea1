//! A row of the table: fault, times of answers, lost, repaired, RSS, findings.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{Daemon, Fault, Question, daemon::Figures};

/// The interval between two rounds of queries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the daemon may take to become ready again.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The effects of a fault.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The longest time of an answer to each query, by name; `None` if one was not answered.
    pub answered: Vec<(&'static str, Option<Duration>)>,
    /// How often each query was made.
    pub rounds: u32,
    /// Number of records lost since before the fault.
    pub lost: u64,
    /// Number of repairs since then.
    pub repaired: u64,
    /// Resident memory before the fault, its peak, and after the fault, KiB.
    pub rss_kib: [u64; 3],
    /// Findings: what the daemon did wrong.
    pub wrong: Vec<String>,
}

impl Row {
    pub(super) fn new(fault: &Fault) -> Self {
        Self {
            name: fault.name,
            answered: Vec::new(),
            rounds: 0,
            lost: 0,
            repaired: 0,
            rss_kib: [0; 3],
            wrong: Vec::new(),
        }
    }

    /// Asks every query repeatedly while the fault lasts, at least once.
    pub(super) fn under(&mut self, daemon: &Daemon, questions: &[Question], lasts: Duration) {
        self.answered = questions.iter().map(|question| (question.name, Some(Duration::ZERO))).collect();
        let end = Instant::now() + lasts;
        loop {
            for (question, (_, longest)) in questions.iter().zip(&mut self.answered) {
                match daemon.ask(question) {
                    Ok(took) => *longest = longest.map(|longest| longest.max(took)),
                    Err(wrong) => {
                        // A finding is listed only once.
                        if longest.take().is_some() && daemon.has_ended().is_none() {
                            self.wrong.push(format!("under the fault: {wrong}"));
                        }
                    }
                }
            }
            self.rounds += 1;
            if Instant::now() >= end || daemon.has_ended().is_some() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Adds a finding unless the daemon is, or becomes, ready.
    pub(super) fn demand_ready(&mut self, daemon: &Daemon, when: &str) {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let answer = daemon.get("/readyz");
            if matches!(answer, Ok((200, _))) {
                return;
            }
            if Instant::now() > end {
                self.wrong.push(format!("{when} it does not become ready: {answer:?}"));
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Adds an error of a check after the fault as a finding.
    pub(super) fn after(&mut self, outcome: Result<(), String>) {
        if let Err(wrong) = outcome {
            self.wrong.push(format!("after the fault: {wrong}"));
        }
    }

    pub(super) fn figures(&mut self, daemon: &Daemon, before: &Figures) {
        match daemon.figures() {
            Ok(now) => {
                self.lost = now.lost.saturating_sub(before.lost);
                self.repaired = now.repaired.saturating_sub(before.repaired);
                self.rss_kib = [before.rss_kib, now.peak_kib, now.rss_kib];
            }
            Err(wrong) => self.wrong.push(format!("after the fault: {wrong}")),
        }
    }

    /// Returns the longest time of all answers; `None` if an answer is missing.
    #[must_use]
    pub fn slowest(&self) -> Option<Duration> {
        self.answered.iter().map(|(_, took)| *took).try_fold(Duration::ZERO, |all, one| Some(all.max(one?)))
    }

    /// Returns its cells in the order of [`Self::HEAD`].
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let ms = |took: Option<Duration>| took.map_or("no".to_owned(), |took| took.as_millis().to_string());
        let mut cells = vec![self.name.to_owned(), ms(self.slowest())];
        let each: Vec<String> = self.answered.iter().map(|(_, took)| ms(*took)).collect();
        cells.push(each.join("/"));
        cells.extend([self.lost, self.repaired].map(|count| count.to_string()));
        cells.extend(self.rss_kib.map(|kib| kib.to_string()));
        cells.push(if self.wrong.is_empty() { "no finding".into() } else { self.wrong.join("; ") });
        cells
    }

    /// The headings of a table of rows.
    pub const HEAD: [&str; 9] = [
        "fault",
        "answered in, ms",
        "zombies/explain/status/metrics",
        "lost",
        "repaired",
        "RSS before, KiB",
        "peak",
        "after",
        "verdict",
    ];

    /// Returns the row as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = String::new();
        for (name, took) in &self.answered {
            let took = took.map_or("NO".to_owned(), |took| format!("{} ms", took.as_millis()));
            // Writing to a String does not fail.
            let _ = write!(text, "{name} {took}, ");
        }
        let [before, peak, after] = self.rss_kib;
        let _ =
            write!(text, "lost {}, repaired {}, RSS {before}/{peak}/{after} KiB", self.lost, self.repaired);
        text
    }
}
