//! Counts what comparisons with the kernel have repaired, by kind, and how long they took.

use std::fmt;

use crate::{lineage::Stats, runtime::HiddenCounts};

/// Why the tree is compared with the kernel's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// taskscope has just started.
    Start,
    /// Records are known to be lost.
    Loss,
    /// The tree has a zombie that /proc does not have.
    Doubt,
    /// `--audit-every` has passed.
    Audit,
}

impl Why {
    /// The number of reasons.
    pub const COUNT: usize = 4;

    /// Every reason.
    pub const ALL: [Self; Self::COUNT] = [Self::Start, Self::Loss, Self::Doubt, Self::Audit];

    /// Stable name for metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Loss => "loss",
            Self::Doubt => "doubt",
            Self::Audit => "audit",
        }
    }
}

/// Repaired facts by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Forks that no record showed.
    pub missed_forks: u64,
    /// Exits that no record showed.
    pub missed_exits: u64,
    /// Releases that no record showed.
    pub missed_releases: u64,
    /// Wrong parents.
    pub wrong_parents: u64,
    /// Wrong comms.
    pub wrong_names: u64,
}

impl Repairs {
    /// Returns what a lineage has repaired in total.
    #[must_use]
    pub const fn of(stats: &Stats) -> Self {
        Self {
            missed_forks: stats.missed_forks,
            missed_exits: stats.missed_exits,
            missed_releases: stats.missed_releases,
            wrong_parents: stats.wrong_parents,
            wrong_names: stats.wrong_names,
        }
    }

    /// Returns each kind by its stable name.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("missed_fork", self.missed_forks),
            ("missed_exit", self.missed_exits),
            ("missed_release", self.missed_releases),
            ("wrong_parent", self.wrong_parents),
            ("wrong_name", self.wrong_names),
        ]
    }

    /// Returns the sum over all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, after: &Self, before: &Self) {
        self.missed_forks += after.missed_forks - before.missed_forks;
        self.missed_exits += after.missed_exits - before.missed_exits;
        self.missed_releases += after.missed_releases - before.missed_releases;
        self.wrong_parents += after.wrong_parents - before.wrong_parents;
        self.wrong_names += after.wrong_names - before.wrong_names;
    }
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total())?;
        let mut separator = " (";
        for (kind, count) in self.by_kind().into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{kind} {count}")?;
            separator = ", ";
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

/// All comparisons so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairStats {
    /// Comparisons, the one at the start included.
    pub resyncs: u64,
    by_cause: [u64; Why::COUNT],
    /// Comparisons that failed.
    pub failed: u64,
    /// Repairs after a known loss.
    pub repaired: Repairs,
    /// Repairs without a known loss: should be 0.
    pub drift: Repairs,
    /// Differences without a known loss that this kernel hides. Canaries are counted in [`crate::runtime::canary`].
    pub(super) hidden: HiddenCounts,
    /// Duration of the last comparison, ns.
    pub last_ns: u64,
    /// Duration of the longest comparison, ns.
    pub longest_ns: u64,
    /// Duration of all comparisons together, ns.
    pub total_ns: u64,
}

impl RepairStats {
    /// Comparisons by cause, in the order of [`Why::ALL`].
    #[must_use]
    pub fn by_cause(&self) -> [(Why, u64); Why::COUNT] {
        Why::ALL.map(|why| (why, self.by_cause.get(why as usize).copied().unwrap_or(0)))
    }

    /// Counts facts that were repaired after a known loss without a comparison of all tasks.
    pub(in crate::runtime) fn repair(&mut self, before: &Stats, after: &Stats) {
        self.repaired.add(&Repairs::of(after), &Repairs::of(before));
        self.repaired.missed_releases += after.hidden_releases - before.hidden_releases;
    }

    pub(super) fn add(&mut self, why: Why, before: &Stats, after: &Stats, duration_ns: u64) {
        self.resyncs += 1;
        if let Some(count) = self.by_cause.get_mut(why as usize) {
            *count += 1;
        }
        self.total_ns += duration_ns;
        self.last_ns = duration_ns;
        self.longest_ns = self.longest_ns.max(duration_ns);
        match why {
            // The first comparison finds tasks that are older than the records; none of them was missed.
            Why::Start => {}
            Why::Loss => {
                self.repair(before, after);
                self.hidden.add(before, after, true);
            }
            Why::Doubt | Why::Audit => {
                self.drift.add(&Repairs::of(after), &Repairs::of(before));
                self.hidden.add(before, after, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repaired_without_a_known_loss_is_drift() {
        let before = Stats { missed_forks: 3, ..Stats::default() };
        let after = Stats { missed_forks: 5, wrong_parents: 1, ..before };
        let mut repairs = RepairStats::default();
        repairs.add(Why::Start, &Stats::default(), &before, 1);
        assert_eq!((repairs.repaired.total(), repairs.drift.total()), (0, 0));
        repairs.add(Why::Loss, &before, &after, 9);
        repairs.add(Why::Audit, &after, &Stats { missed_releases: 1, ..after }, 2);
        assert_eq!(repairs.repaired.to_string(), "3 (missed_fork 2, wrong_parent 1)");
        assert_eq!(repairs.drift.to_string(), "1 (missed_release 1)");
        assert_eq!((repairs.resyncs, repairs.last_ns, repairs.longest_ns), (3, 2, 9));
        assert_eq!(Repairs::default().to_string(), "0");
        assert_eq!(repairs.hidden, HiddenCounts::default());
    }

    #[test]
    fn what_the_kernel_hides_is_no_drift_and_a_release_after_a_loss_was_lost() {
        let before = Stats::default();
        let after = Stats { hidden_forks: 2, hidden_releases: 3, ..before };
        let mut repairs = RepairStats::default();
        repairs.add(Why::Audit, &before, &after, 1);
        assert_eq!((repairs.drift.total(), repairs.repaired.total()), (0, 0));
        assert_eq!((repairs.hidden.forks, repairs.hidden.releases), (2, 3));
        repairs.add(Why::Loss, &before, &after, 1);
        assert_eq!(repairs.repaired.to_string(), "3 (missed_release 3)");
        assert_eq!((repairs.hidden.forks, repairs.hidden.releases), (4, 3));
    }
}
