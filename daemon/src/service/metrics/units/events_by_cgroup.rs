//! Counts what processes do, by cgroup, as the records arrive. The units of the cgroups are looked up later, for all events at once.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "an index is below the length of its array")
)]

use std::collections::HashMap;

use crate::lineage::{Brief, Change, TaskKind, death::Cause, status::WaitStatus};
use crate::service::metrics::names::{REASONS, reason};

/// How processes end: the [`REASONS`], and `oom` for a signal of the out-of-memory killer.
pub(in crate::service::metrics) const UNIT_REASONS: [&str; 6] =
    [REASONS[0], REASONS[1], REASONS[2], REASONS[3], REASONS[4], "oom"];

/// The index of `oom`.
const OOM: usize = UNIT_REASONS.len() - 1;

/// Number of entries for the cgroups of recent events. A hash of the cgroup id chooses the entry.
const RECENT: usize = 64;

/// The most cgroups with counts of their own between two queries; events of more cgroups are counted as those of no cgroup.
const CGROUPS: usize = 4096;

/// How often each event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::service::metrics) struct TaskEvents {
    pub(super) created: u32,
    pub(super) execs: u32,
    /// Ends of processes, by the index of [`UNIT_REASONS`].
    pub(super) exits: [u32; UNIT_REASONS.len()],
}

impl TaskEvents {
    fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.execs += other.execs;
        for (sum, exits) in self.exits.iter_mut().zip(other.exits) {
            *sum += exits;
        }
    }

    /// Returns how many events there were.
    pub(super) fn total(&self) -> u64 {
        [self.created, self.execs].into_iter().chain(self.exits).map(u64::from).sum()
    }
}

/// Events since the last query, by cgroup; the id of no cgroup is 0.
pub(in crate::service::metrics) struct EventsByCgroup {
    recent: Box<[(u64, TaskEvents); RECENT]>,
    cgroups: HashMap<u64, TaskEvents>,
}

impl Default for EventsByCgroup {
    fn default() -> Self {
        Self { recent: Box::new([(0, TaskEvents::default()); RECENT]), cgroups: HashMap::new() }
    }
}

impl EventsByCgroup {
    /// Counts an effect.
    #[inline]
    pub(in crate::service::metrics) fn count(&mut self, brief: &Brief) {
        let is_process = brief.kind == TaskKind::Process;
        match brief.change {
            Change::Forked if is_process => self.of(brief.cgroup_id).created += 1,
            Change::Execed { .. } => self.of(brief.cgroup_id).execs += 1,
            Change::GroupExited { status, cause, .. } if is_process => {
                self.of(brief.cgroup_id).exits[unit_reason(status, cause)] += 1;
            }
            _ => {}
        }
    }

    fn of(&mut self, cgroup_id: Option<u64>) -> &mut TaskEvents {
        let id = cgroup_id.unwrap_or(0);
        // Use the topmost bits, because only these depend on all bits of the id.
        let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (mixed >> (u64::BITS - RECENT.ilog2())) as usize % RECENT;
        if self.recent[place].0 != id {
            self.put_away(place, id);
        }
        &mut self.recent[place].1
    }

    /// Adds the counts in an entry to those of its cgroup, and gives the entry to another cgroup.
    #[cold]
    fn put_away(&mut self, place: usize, next: u64) {
        let (id, events) = std::mem::replace(&mut self.recent[place], (next, TaskEvents::default()));
        if events == TaskEvents::default() {
            return;
        }
        let is_full = self.cgroups.len() >= CGROUPS && !self.cgroups.contains_key(&id);
        self.cgroups.entry(if is_full { 0 } else { id }).or_default().add(&events);
    }

    /// Returns, and resets, the events since the last call; `None` is no cgroup.
    pub(in crate::service::metrics) fn take(&mut self) -> Vec<(Option<u64>, TaskEvents)> {
        (0..RECENT).for_each(|place| self.put_away(place, 0));
        self.cgroups.drain().map(|(id, events)| ((id != 0).then_some(id), events)).collect()
    }
}

/// Returns the index into [`UNIT_REASONS`].
fn unit_reason(status: Option<WaitStatus>, cause: Cause) -> usize {
    if cause == Cause::Oom { OOM } else { reason(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::id::Ktime;

    fn brief(cgroup_id: Option<u64>, kind: TaskKind, change: Change) -> Brief {
        Brief { at: Ktime(0), kind, cgroup_id, change }
    }

    fn exit(status: Option<i32>, cause: Cause) -> Change {
        Change::GroupExited { status: status.map(WaitStatus), cause, since_exec_ns: None }
    }

    #[test]
    fn processes_are_counted_and_threads_are_not() {
        let mut events = EventsByCgroup::default();
        for kind in [TaskKind::Process, TaskKind::Process, TaskKind::Thread, TaskKind::KernelThread] {
            events.count(&brief(Some(7), kind, Change::Forked));
        }
        events.count(&brief(Some(7), TaskKind::Process, Change::Execed { since_fork_ns: None }));
        events.count(&brief(None, TaskKind::Process, Change::Forked));
        let mut taken = events.take();
        taken.sort_by_key(|(id, _)| *id);
        let counted = |created, execs| TaskEvents { created, execs, ..TaskEvents::default() };
        assert_eq!(taken, [(None, counted(1, 0)), (Some(7), counted(2, 1))]);
        assert_eq!(events.take(), []);
    }

    #[test]
    fn each_exit_has_one_reason_and_that_of_the_out_of_memory_killer_is_no_signal() {
        let mut events = EventsByCgroup::default();
        for (status, cause) in [
            (Some(0), Cause::Exited),
            (Some(1 << 8), Cause::Exited),
            (Some(9), Cause::Killed),
            (Some(0x8b), Cause::Fault),
            (None, Cause::Unknown),
            (Some(9), Cause::Oom),
        ] {
            events.count(&brief(Some(7), TaskKind::Process, exit(status, cause)));
        }
        let (_, counted) = events.take()[0];
        assert_eq!(counted.exits, [1; UNIT_REASONS.len()]);
        assert_eq!(UNIT_REASONS, ["success", "failure", "signal", "core_dump", "unknown", "oom"]);
    }

    #[test]
    fn cgroups_that_share_an_entry_are_counted_apart_and_their_number_is_bounded() {
        let mut events = EventsByCgroup::default();
        for _ in 0..2 {
            (1..=1000).for_each(|id| events.count(&brief(Some(id), TaskKind::Process, Change::Forked)));
        }
        let taken = events.take();
        assert_eq!(taken.len(), 1000);
        assert!(taken.iter().all(|(_, events)| events.created == 2));
        (1..=10_000).for_each(|id| events.count(&brief(Some(id), TaskKind::Process, Change::Forked)));
        let taken = events.take();
        assert!(taken.len() <= CGROUPS + 1, "{}", taken.len());
        assert_eq!(taken.iter().map(|(_, events)| u64::from(events.created)).sum::<u64>(), 10_000);
    }
}
