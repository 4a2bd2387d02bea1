//! Tasks that this kernel hides from eBPF programs and from its task iterator, while /proc shows them.
//!
//! They are found by comparing both, never by the kernel's version. No program runs on top of such a task, so no record shows the
//! processes that it forks, its own exits and names, or releases that an interrupt on top of it runs. A later comparison finds
//! them. They are counted apart from drift, because this kernel cannot show them.

use std::collections::BTreeMap;

use crate::{
    kernel::{hooks::Family, snapshot::SnapshotError},
    lineage::{
        Stats,
        id::{Tgid, Tid},
        record::Fact,
    },
    runtime::Pipeline,
};

/// A thread group in /proc: its tgid, and its start in ticks of `USER_HZ`.
pub(super) type Seen = (Tgid, u64);

/// The most processes that a message names; the others are counted.
const NAMED: usize = 3;

/// Thread groups that /proc shows and the task iterator does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HiddenTasks {
    groups: BTreeMap<Tgid, u64>,
    was_reported: bool,
}

impl HiddenTasks {
    /// Returns whether nothing is hidden, as far as is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns how many thread groups are hidden.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Describes what this kernel hides and what follows from it, for `status`, the log and `doctor`; `None` if it hides nothing.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let named: Vec<String> = self.groups.keys().take(NAMED).map(|tgid| format!("pid {tgid}")).collect();
        let more = self.groups.len().checked_sub(named.len()).filter(|&more| more > 0);
        let more = more.map_or_else(String::new, |more| format!(" and {more} more"));
        (!named.is_empty()).then(|| {
            format!(
                "hidden tasks: this kernel hides {}{more} from eBPF programs and from its task iterator; /proc shows \
                 them. Only comparisons find what they fork, and releases in interrupts on top of them; these are counted in \
                 taskscope_hidden_total",
                named.join(", ")
            )
        })
    }

    /// Stores the groups that a reading found, if a second reading confirms the new ones. Returns whether that changed anything.
    fn update(&mut self, found: &[Seen], confirmed: impl FnOnce(&[Seen]) -> Vec<Seen>) -> bool {
        let is_known = |seen: &&Seen| self.groups.get(&seen.0) == Some(&seen.1);
        let (known, new): (Vec<&Seen>, Vec<&Seen>) = found.iter().partition(is_known);
        let new: Vec<Seen> = new.into_iter().copied().collect();
        let mut groups: BTreeMap<Tgid, u64> = known.into_iter().copied().collect();
        if !new.is_empty() {
            groups.extend(confirmed(&new));
        }
        let differs = groups != self.groups;
        self.groups = groups;
        differs
    }
}

/// What hidden tasks did, by kind, as comparisons found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HiddenCounts {
    /// Forks by a hidden parent, or of a hidden thread.
    pub forks: u64,
    /// Exits of hidden tasks.
    pub exits: u64,
    /// Releases that a hidden task, or an interrupt on top of one, may have run.
    pub releases: u64,
    /// Changes of a hidden task's name.
    pub names: u64,
    /// Canaries that were seen except for such a release.
    pub canaries: u64,
}

impl HiddenCounts {
    /// Counts what a comparison found. After a known loss a missing release was probably lost, and is not counted.
    pub(super) const fn add(&mut self, before: &Stats, after: &Stats, is_loss_known: bool) {
        self.forks += after.hidden_forks - before.hidden_forks;
        self.exits += after.hidden_exits - before.hidden_exits;
        self.names += after.hidden_names - before.hidden_names;
        if !is_loss_known {
            self.releases += after.hidden_releases - before.hidden_releases;
        }
    }

    /// Each kind by its stable name.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("fork", self.forks),
            ("exit", self.exits),
            ("release", self.releases),
            ("name", self.names),
            ("canary", self.canaries),
        ]
    }
}

impl Pipeline {
    /// What hidden tasks did so far.
    #[must_use]
    pub const fn hidden_counts(&self) -> HiddenCounts {
        HiddenCounts { canaries: self.canary.hidden, ..self.repairs.hidden }
    }

    /// Stores which groups this kernel hides. `found` are the groups that are older than the reading and that only /proc showed.
    pub(super) fn update_hidden(&mut self, found: &[Seen]) {
        let Self { hidden, observer, .. } = self;
        let differs = hidden.update(found, |new| {
            // The first reading may have skipped a group that called execve during it.
            let again = observer.snapshot().and_then(|mut reading| {
                let mut shown: Vec<Tid> = Vec::new();
                while reading.next(|record| {
                    if let Ok(record) = record
                        && let Fact::Snapshot(seen) = &record.fact
                    {
                        shown.push(seen.task.key.tid);
                    }
                })? > 0
                {}
                Ok::<_, SnapshotError>(shown)
            });
            let shown = again.unwrap_or_default();
            let is_hidden = |seen: &Seen| !shown.is_empty() && shown.binary_search(&seen.0.leader()).is_err();
            new.iter().copied().filter(is_hidden).collect()
        });
        if !differs {
            return;
        }
        self.lineage.set_hidden(self.hidden.groups.keys().copied());
        let by_free = |hook: &crate::kernel::ladder::HookState| {
            hook.hook == "release_task" && hook.family == Some(Family::Tracepoint)
        };
        self.canary.hidden_releases.are_possible =
            !self.hidden.is_empty() && self.observer.hooks.iter().any(by_free);
        // A command that reads all tasks once has these tasks from /proc and misses nothing.
        if let Some(reason) = self.hidden.reason().filter(|_| !self.observer.hooks.is_empty())
            && !std::mem::replace(&mut self.hidden.was_reported, true)
        {
            log::warn!("{reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_of_two_readings_does_not_show_is_not_hidden() {
        let mut hidden = HiddenTasks::default();
        assert!(hidden.update(&[(Tgid(1), 3), (Tgid(40), 9)], |_| vec![(Tgid(1), 3)]));
        assert_eq!(hidden.groups.keys().copied().collect::<Vec<_>>(), [Tgid(1)]);
        let asked = |_: &[Seen]| panic!("it is known already");
        assert!(!hidden.update(&[(Tgid(1), 3)], asked));
        assert!(hidden.reason().is_some_and(|reason| reason.contains("pid 1 from eBPF")));
    }

    #[test]
    fn what_is_shown_or_gone_is_not_hidden_any_more() {
        let mut hidden = HiddenTasks::default();
        hidden.update(&[(Tgid(1), 3)], <[Seen]>::to_vec);
        assert!(hidden.update(&[(Tgid(1), 4)], |_| Vec::new()), "the pid is another's");
        assert!(hidden.is_empty());
        assert_eq!(hidden.reason(), None);
    }
}
