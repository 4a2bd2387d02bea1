//! Sums of what all ended tasks used, by kind of task and by cgroup. A task is added once: at its last switch, or when the
//! lineage stops waiting for the record of that switch. So the sums only grow.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "an enum as the index of an array of that length")
)]

use crate::Lineage;
use crate::model::record::TaskUsage;
use crate::model::task::TaskKind;
use crate::model::usage::Share;
use crate::store::tables::id_map::IdMap;

/// The most cgroups with their own sum between two queries; the usage of more cgroups is added to the sum without a cgroup.
const CGROUPS: usize = 4096;

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct EndedTotals {
    /// Usage by kind, with user and system time as the kernel splits them for each task.
    kinds: [TaskUsage; TaskKind::COUNT],
    cgroups: IdMap<u64, Share>,
    /// The usage of the last cgroup that was added to; the next ended task is often in the same cgroup.
    last: (Option<u64>, Share),
    /// Usage of tasks whose cgroup is unknown or has no sum of its own, because there are more than [`CGROUPS`].
    nowhere: Share,
    /// Ended tasks whose usage no record had.
    pub(crate) unknown: u64,
}

impl EndedTotals {
    /// Adds all that a task used.
    pub(crate) fn add(&mut self, kind: TaskKind, cgroup: Option<u64>, usage: &TaskUsage) {
        self.kinds[kind as usize].add(&usage.charged());
        if self.last.0 != cgroup {
            self.put_away();
            self.last.0 = cgroup;
        }
        let &TaskUsage { exec_runtime_ns, run_delay_ns, .. } = usage;
        self.last.1.add(&Share { exec_runtime_ns, run_delay_ns });
    }

    /// Adds the usage that was added last to the sum of its cgroup.
    fn put_away(&mut self) {
        let (cgroup, share) = std::mem::take(&mut self.last);
        let is_full = self.cgroups.len() >= CGROUPS;
        match cgroup {
            Some(id) if !is_full || self.cgroups.contains_key(&id) => {
                self.cgroups.entry(id).or_default().add(&share);
            }
            _ => self.nowhere.add(&share),
        }
    }
}

impl Lineage {
    /// Returns what ended tasks of a kind used: `Process` means leaders, `Thread` other threads.
    #[must_use]
    pub const fn ended(&self, kind: TaskKind) -> &TaskUsage {
        &self.accounting.ended.kinds[kind as usize]
    }

    /// Returns how many tasks ended whose usage is not known; a task is counted once no record of it is expected.
    #[must_use]
    pub const fn ended_unknown(&self) -> u64 {
        self.accounting.ended.unknown
    }

    /// Returns, and resets, what ended tasks used since the last call, by cgroup; `None` is an unknown cgroup.
    pub fn take_shares(&mut self) -> impl Iterator<Item = (Option<u64>, Share)> {
        self.accounting.ended.put_away();
        let nowhere = std::mem::take(&mut self.accounting.ended.nowhere);
        let shares = self.accounting.ended.cgroups.drain().map(|(id, share)| (Some(id), share));
        shares.chain(std::iter::once((None, nowhere))).filter(|(_, share)| *share != Share::default())
    }
}
