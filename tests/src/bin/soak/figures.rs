//! Figures of the whole run, and the verdict on them.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, ensure};

use crate::daemon::{Cost, End, Ring};

/// Divisor: the daemon's memory in the last third of the run may exceed that of the first by this fraction. The number of ended
/// lives that it keeps, up to its limit, depends on how many rounds it has run.
const FLAT: u64 = 4;

/// Sums over all daemons that ended by themselves.
#[derive(Default)]
pub(crate) struct Figures {
    /// Rounds of storms.
    pub(crate) rounds: u64,
    /// How often the daemon was stopped and continued.
    pub(crate) stops: u64,
    /// How often it was killed.
    pub(crate) kills: u64,
    ends: u64,
    comparisons: u64,
    slowest: Duration,
    produced: u64,
    received: u64,
    dropped: u64,
    lost: u64,
    repaired: u64,
    drift: u64,
    resyncs: u64,
    longest_us: u64,
    repaired_events: u64,
    gaps: u64,
    whole: u64,
    broken: u64,
    shed: u64,
    audits: Cost,
    rss_kib: Vec<u64>,
    peak_kib: u64,
}

impl Figures {
    /// Adds the summary of a daemon.
    pub(crate) fn add(&mut self, end: &End) -> anyhow::Result<()> {
        let summary = &end.summary;
        let before = |word: &str| number_before(summary, word);
        let after = |word: &str| number_after(summary, word);
        self.ends += 1;
        let (produced, received) = (before("produced")?, before("received")?);
        let (dropped, shed) = (before("dropped")?, before("shed")?);
        ensure!(
            produced == received + dropped + shed + before("not understood")?,
            "the sums do not balance: {summary}"
        );
        ensure!(
            received + before("by snapshot")? == before("applied")? + before("refused")?,
            "the sums do not balance: {summary}"
        );
        self.produced += produced;
        self.received += received;
        self.dropped += dropped;
        self.shed += shed;
        self.lost += after("lost")?;
        self.repaired += after("repaired")?;
        self.drift += after("drift")?;
        self.resyncs += before("resyncs")?;
        self.longest_us = self.longest_us.max(after("longest")?);
        self.whole += after("canaries")?;
        self.broken += before("broken")?;
        self.repaired_events += end.repaired_events;
        self.gaps += end.gaps;
        Ok(())
    }

    /// Adds a comparison: the tree became equal to /proc after this time.
    pub(crate) fn compared(&mut self, after: Duration) {
        self.comparisons += 1;
        self.slowest = self.slowest.max(after);
    }

    /// Adds the daemon's memory after a round, if its ring has the default size; a smaller ring maps less.
    pub(crate) fn sample(&mut self, ring: Ring, rss_kib: u64, peak_kib: u64) {
        self.peak_kib = self.peak_kib.max(peak_kib);
        if ring == Ring::Usual {
            self.rss_kib.push(rss_kib);
        }
    }

    /// Adds the durations of a daemon's audits.
    pub(crate) fn audited(&mut self, cost: Cost) {
        self.audits.count += cost.count;
        self.audits.total_us += cost.total_us;
        self.audits.longest_us = self.audits.longest_us.max(cost.longest_us);
    }

    /// Returns a line of progress.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} rounds, {} trees equal, {} records, {} dropped, {} repaired, drift {}, RSS {} KiB",
            self.rounds,
            self.comparisons,
            self.produced,
            self.dropped,
            self.repaired,
            self.drift,
            self.rss_kib.last().copied().unwrap_or(0)
        )
    }

    /// Returns the highest memory in the first and in the last third.
    fn thirds(&self) -> (u64, u64) {
        let third = self.rss_kib.len().div_ceil(3);
        let highest = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
        let first = self.rss_kib.get(..third).map_or(0, highest);
        let last = self.rss_kib.get(self.rss_kib.len() - third..).map_or(0, highest);
        (first, last)
    }

    pub(crate) fn table(&self, family: &str, took: Duration) -> String {
        let (first, last) = self.thirds();
        let peak = self.peak_kib;
        let audits = self.audits;
        let mut text = String::new();
        let rows = [
            ("family", family.to_owned()),
            ("minutes", format!("{:.1}", took.as_secs_f64() / 60.0)),
            ("rounds", self.rounds.to_string()),
            ("trees equal to /proc", self.comparisons.to_string()),
            ("slowest to become equal", format!("{:.1} s", self.slowest.as_secs_f64())),
            ("daemons ended, killed", format!("{}, {}", self.ends, self.kills)),
            ("stopped and continued", self.stops.to_string()),
            ("records produced", self.produced.to_string()),
            ("records received", self.received.to_string()),
            ("records dropped", self.dropped.to_string()),
            ("records shed by rule", self.shed.to_string()),
            ("lost in all", self.lost.to_string()),
            ("gap records", self.gaps.to_string()),
            ("comparisons with the kernel", self.resyncs.to_string()),
            ("longest comparison", format!("{} us", self.longest_us)),
            (
                "audits, mean, longest",
                format!(
                    "{}, {} us, {} us",
                    audits.count,
                    audits.total_us / audits.count.max(1),
                    audits.longest_us
                ),
            ),
            ("repaired after losses", self.repaired.to_string()),
            ("drift", self.drift.to_string()),
            ("events marked as repaired", self.repaired_events.to_string()),
            ("canaries whole, broken", format!("{}, {}", self.whole, self.broken)),
            ("peak RSS", format!("{peak} KiB")),
            ("RSS first, last third", format!("{first}, {last} KiB")),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<28} {value}");
        }
        text
    }

    /// Fails if the run was too short, or if memory grew.
    pub(crate) fn verdict(&self) -> anyhow::Result<()> {
        let (first, last) = self.thirds();
        ensure!(self.comparisons > 0 && self.ends > 0, "the run was too short to compare anything");
        ensure!(last <= first + first / FLAT, "memory is not flat: {first} KiB at first, {last} KiB at last");
        Ok(())
    }
}

fn number_before(text: &str, word: &str) -> anyhow::Result<u64> {
    let at = text.find(&format!(" {word}")).with_context(|| format!("no `{word}` in: {text}"))?;
    let number = text[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().with_context(|| format!("no number before `{word}` in: {text}"))
}

fn number_after(text: &str, word: &str) -> anyhow::Result<u64> {
    let rest = text.split_once(&format!("{word} ")).with_context(|| format!("no `{word}` in: {text}"))?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().with_context(|| format!("no number after `{word}` in: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_not_flat() {
        let mut figures = Figures { comparisons: 1, ends: 1, ..Figures::default() };
        for turn in 0..30 {
            figures.sample(Ring::Usual, 20_000 + turn % 3, 60_000);
        }
        figures.verdict().unwrap();
        figures.sample(Ring::Usual, 40_000, 60_000);
        figures.verdict().unwrap_err();
    }

    #[test]
    fn unbalanced_sums_are_an_error() {
        let summary = |received| {
            format!(
                "taskscope: summary: 9 events; lost 3; 10 produced = {received} received + 2 dropped + 1 shed + 0 not understood; \
                 7 received + 5 by snapshot = 12 applied + 0 refused; 9 lines = 9 written + 0 not written; 2 resyncs, \
                 longest 1200 us, repaired 4 (missed_fork 4), drift 1; canaries 6 whole, 1 broken"
            )
        };
        let end = |received| End { summary: summary(received), repaired_events: 4, gaps: 1 };
        let mut figures = Figures::default();
        figures.add(&end(7)).unwrap();
        assert_eq!((figures.repaired, figures.drift, figures.longest_us, figures.broken), (4, 1, 1200, 1));
        figures.add(&end(6)).unwrap_err();
    }
}
