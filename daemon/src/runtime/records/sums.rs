//! Checks that no record is lost without being counted: at each station, what went in must equal what came out plus what was
//! lost.

use std::fmt;

use probe_common::{Kind, Lost};

use crate::{kernel::counters::Totals, lineage::Stats, recording::Counters};

/// Counts of records by kind, and of how they were handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records taken from the ring and decoded, by kind.
    pub received: [u64; Kind::COUNT],
    /// Records of the ring and of snapshots that changed the lineage, by kind.
    pub applied: [u64; Kind::COUNT],
    /// Records that the lineage refused.
    pub refused: [u64; Kind::COUNT],
    /// Records taken from the ring that could not be decoded.
    pub undecoded: u64,
    /// Records read from the task iterator.
    pub snapshot: u64,
    /// Records read from the task iterator that could not be decoded.
    pub snapshot_undecoded: u64,
    /// Tasks read from /proc, because the iterator does not show them.
    pub completed: u64,
    /// Counters of the programs, as last read.
    pub kernel: Totals,
    /// Calls of programs that the kernel skipped, as last read.
    pub missed: u64,
    /// Skipped calls of the program on the return of `copy_process()`, part of `missed`.
    pub missed_returns: u64,
    /// How many of these skipped calls a program has also counted, as a missed return. Each of them is one loss, not two.
    pub noticed_returns: u64,
}

impl Counts {
    /// Returns how many records were lost before they could be applied. Records left out by rule are counted separately.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kernel.all_lost().saturating_sub(self.noticed_returns) + self.missed + self.undecoded
    }

    /// Returns what programs could not report, by [`Lost`], without what the skipped calls already count.
    #[must_use]
    pub fn unreported(&self) -> [u64; Lost::COUNT] {
        let mut lost = self.kernel.lost;
        if let Some(missed) = lost.get_mut(Lost::MissedReturn as usize) {
            *missed = missed.saturating_sub(self.noticed_returns);
        }
        lost
    }

    /// Stores the programs' counters. `skipped` is called only if programs noticed a missed return since: the kernel counts a
    /// skipped call before a program can notice it.
    pub(in crate::runtime) fn learn(&mut self, kernel: &Totals, skipped: impl FnOnce() -> Skipped) {
        let noticed = |totals: &Totals| totals.lost.get(Lost::MissedReturn as usize).copied().unwrap_or(0);
        let news = noticed(kernel).saturating_sub(noticed(&self.kernel));
        self.kernel = *kernel;
        if news > 0 {
            self.learn_skipped(skipped());
            self.noticed_returns += news.min(self.missed_returns.saturating_sub(self.noticed_returns));
        }
    }

    pub(in crate::runtime) fn learn_skipped(&mut self, skipped: Skipped) {
        self.missed = self.missed.max(skipped.all);
        self.missed_returns = self.missed_returns.max(skipped.returns);
    }

    /// Returns the counts for the end of a recording.
    pub(in crate::runtime) fn recorded(&self) -> Counters {
        let sum = |counts: &[u64; Kind::COUNT]| counts.iter().sum();
        Counters {
            produced: sum(&self.kernel.produced),
            dropped: sum(&self.kernel.dropped),
            shed: sum(&self.kernel.shed),
            unreported: self.unreported().iter().sum(),
            skipped: self.missed,
            undecoded: self.undecoded,
            received: sum(&self.received),
        }
    }

    /// Returns how many records were taken from the ring, decoded or not.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.received.iter().sum::<u64>() + self.undecoded
    }

    /// Returns the sums, together with the lineage's own counts.
    #[must_use]
    pub fn sums(&self, lineage: &Stats) -> Sums {
        Sums {
            produced: self.kernel.produced,
            dropped: self.kernel.dropped,
            shed: self.kernel.shed,
            received: self.received,
            undecoded: self.undecoded,
            by_snapshot: self.snapshot + self.completed,
            applied: self.applied,
            refused: self.refused,
            handed: lineage.records,
            refused_in_all: lineage.refused,
        }
    }
}

/// How often the kernel skipped programs.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::runtime) struct Skipped {
    pub(in crate::runtime) all: u64,
    /// Skipped calls of the program on the return of `copy_process()`.
    pub(in crate::runtime) returns: u64,
}

/// Counts of records at each station. They balance while the ring is empty and no program sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Records that programs tried to send, by kind.
    pub produced: [u64; Kind::COUNT],
    /// Records that the ring had no room for, part of `produced`.
    pub dropped: [u64; Kind::COUNT],
    /// Records that were left out because the ring was filling up, part of `produced`.
    pub shed: [u64; Kind::COUNT],
    /// Records taken from the ring and decoded.
    pub received: [u64; Kind::COUNT],
    /// Records taken from the ring that could not be decoded; their kind is unknown.
    pub undecoded: u64,
    /// Records of snapshots, all of one kind.
    pub by_snapshot: u64,
    /// Records that changed the lineage.
    pub applied: [u64; Kind::COUNT],
    /// Records that the lineage refused.
    pub refused: [u64; Kind::COUNT],
    /// The lineage's own count of records that were passed to it.
    pub handed: u64,
    /// The lineage's own count of records that it refused.
    pub refused_in_all: u64,
}

/// A sum that does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// The sum's name.
    pub sum: &'static str,
    /// What went in.
    pub whole: u64,
    /// What came out, all parts together.
    pub parts: u64,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} against {}", self.sum, self.whole, self.parts)
    }
}

impl Sums {
    /// Returns how many records changed the lineage.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.handed.saturating_sub(self.refused_in_all)
    }

    /// Returns every sum that does not balance. Meaningful while the ring is empty and no program sends.
    #[must_use]
    pub fn check(&self) -> Vec<Imbalance> {
        let mut wrong = Vec::new();
        let mut expect = |sum, whole, parts| {
            if whole != parts {
                wrong.push(Imbalance { sum, whole, parts });
            }
        };
        let all = |counts: &[u64; Kind::COUNT]| counts.iter().sum::<u64>();
        let at = |counts: &[u64; Kind::COUNT], kind: Kind| counts.get(kind as usize).copied().unwrap_or(0);
        expect(
            "records produced = received + dropped + shed + not understood",
            all(&self.produced),
            all(&self.received) + all(&self.dropped) + all(&self.shed) + self.undecoded,
        );
        // A record that could not be decoded is of an unknown kind: then only the totals can be compared.
        if self.undecoded == 0 {
            for kind in Kind::ALL {
                expect(
                    kind.name(),
                    at(&self.produced, kind),
                    at(&self.received, kind) + at(&self.dropped, kind) + at(&self.shed, kind),
                );
            }
        }
        for kind in Kind::ALL {
            let came = if kind == Kind::Snapshot { self.by_snapshot } else { at(&self.received, kind) };
            expect(kind.name(), came, at(&self.applied, kind) + at(&self.refused, kind));
        }
        expect(
            "records received + by snapshot = applied + refused",
            all(&self.received) + self.by_snapshot,
            self.handed,
        );
        expect("records refused", all(&self.refused), self.refused_in_all);
        wrong
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |counts: &[u64; Kind::COUNT]| counts.iter().sum::<u64>();
        write!(
            f,
            "{} produced = {} received + {} dropped + {} shed + {} not understood; {} received + {} by snapshot = {} applied + {} refused",
            sum(&self.produced),
            sum(&self.received),
            sum(&self.dropped),
            sum(&self.shed),
            self.undecoded,
            sum(&self.received),
            self.by_snapshot,
            self.applied(),
            self.refused_in_all
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced() -> Sums {
        let mut sums = Sums {
            produced: [0; Kind::COUNT],
            dropped: [0; Kind::COUNT],
            shed: [0; Kind::COUNT],
            received: [0; Kind::COUNT],
            undecoded: 0,
            by_snapshot: 100,
            applied: [0; Kind::COUNT],
            refused: [0; Kind::COUNT],
            handed: 107,
            refused_in_all: 1,
        };
        sums.produced[Kind::TaskNew as usize] = 4;
        sums.shed[Kind::TaskNew as usize] = 4;
        sums.produced[Kind::Exited as usize] = 10;
        sums.dropped[Kind::Exited as usize] = 3;
        sums.received[Kind::Exited as usize] = 7;
        sums.applied[Kind::Exited as usize] = 6;
        sums.refused[Kind::Exited as usize] = 1;
        sums.applied[Kind::Snapshot as usize] = 100;
        sums
    }

    #[test]
    fn a_return_that_the_kernel_skipped_and_a_program_misses_is_lost_once() {
        let with = |returns| Totals { lost: [0, 0, 0, returns], ..Totals::default() };
        let mut counts = Counts::default();
        // No kretprobe instance was left. Only the next clone of that task shows the loss.
        counts.learn(&with(1), Skipped::default);
        assert_eq!((counts.lost(), counts.unreported()[3]), (1, 1));
        // Two programs are skipped. One of them is a return program, whose loss the task's next clone shows.
        counts.learn_skipped(Skipped { all: 2, returns: 1 });
        assert_eq!((counts.lost(), counts.unreported()[3]), (3, 1));
        counts.learn(&with(2), || Skipped { all: 2, returns: 1 });
        assert_eq!((counts.lost(), counts.unreported()[3]), (3, 1));
        // Another return is missed, and the program notices it first.
        counts.learn(&with(3), || Skipped { all: 3, returns: 2 });
        assert_eq!((counts.lost(), counts.unreported()[3]), (4, 1));
        counts.learn(&with(4), || Skipped { all: 3, returns: 2 });
        assert_eq!((counts.lost(), counts.unreported()[3]), (5, 2));
    }

    #[test]
    fn sums_that_come_out_are_not_complained_about() {
        assert_eq!(balanced().check(), []);
        assert_eq!(balanced().applied(), 106);
    }

    #[test]
    fn a_record_of_one_kind_that_became_another_is_found() {
        let mut sums = balanced();
        sums.received[Kind::Exited as usize] -= 1;
        sums.received[Kind::Exiting as usize] += 1;
        let wrong: Vec<_> = sums.check().iter().map(|imbalance| imbalance.sum).collect();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        let mut sums = balanced();
        sums.applied[Kind::Exited as usize] -= 1;
        sums.applied[Kind::Released as usize] += 1;
        let wrong: Vec<_> = sums.check().iter().map(|imbalance| imbalance.sum).collect();
        assert_eq!(wrong, ["exited", "released"]);
    }

    #[test]
    fn a_record_that_vanished_is_found() {
        let mut sums = balanced();
        sums.produced[Kind::Exited as usize] += 1;
        let wrong = sums.check();
        assert_eq!((wrong[0].whole, wrong[0].parts), (15, 14), "{wrong:?}");
        let mut sums = balanced();
        sums.handed -= 1;
        assert_eq!(sums.check().len(), 1);
    }

    #[test]
    fn one_that_was_not_understood_balances_as_a_whole() {
        let mut sums = balanced();
        sums.produced[Kind::Exited as usize] += 1;
        sums.undecoded = 1;
        assert_eq!(sums.check(), []);
    }
}
