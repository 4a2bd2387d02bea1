//! Merges a second record of a death with the first, and adds what a task used to its group's account.

use crate::Lineage;
use crate::accounting::awaiting_last_switch::UsageAtDeath;
use crate::model::id::{Ktime, TaskRef};
use crate::model::kinds::Provenance;
use crate::model::record::{ExitSource, Exited, TaskUsage};
use crate::model::task::TaskState;
use crate::model::usage::{Charge, Descent};
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Adds the fields of a later exit record that the first record of the death did not have.
    pub(crate) fn complete(&mut self, ix: Ix<Task>, exited: &Exited) {
        if exited.source == ExitSource::FinalSwitch && !self.store[ix].knows(known::ACCOUNTED) {
            self.stats.completed += 1;
        } else {
            self.stats.duplicate += 1;
        }
        if !self.store[ix].knows(known::EXIT_CODE) {
            self.learn_exit_code(ix, exited.exit.exit_code);
        }
        self.account(ix, exited);
    }

    /// Adds what a task used to its group's account. The usage at its death counts until the record of its last switch has the
    /// final usage. If that record is lost, only the usage between the death and the last switch is missing.
    pub(crate) fn account(&mut self, ix: Ix<Task>, exited: &Exited) {
        let Some(usage) = &exited.usage else { return };
        let is_final = exited.source == ExitSource::FinalSwitch;
        self.account_usage(ix, exited.task, usage, is_final);
        if is_final {
            self.store[ix].known |= known::ACCOUNTED;
        }
    }

    pub(crate) fn account_usage(&mut self, ix: Ix<Task>, task: TaskRef, now: &TaskUsage, is_final: bool) {
        if self.store[ix].knows(known::ACCOUNTED) {
            return;
        }
        let is_leader = self.store[ix].key().tid == task.tgid.leader();
        let kind = self.store[ix].kind(is_leader);
        let before = if is_final {
            self.accounting.awaiting_last_switch.take(ix).map(|early| early.usage)
        } else {
            self.wait_for_last_switch(ix, UsageAtDeath { kind, usage: *now })
        };
        let was_unknown = before.is_none() && self.store[ix].state() >= TaskState::Zombie;
        let charge = Charge {
            more: before.map_or(*now, |before| now.minus(&before)),
            is_first: before.is_none(),
            is_final,
            was_unknown,
        };
        // An old leader that an exec replaced has another key in the tree than in its own records.
        let start = self.store[ix].key().start;
        let leader = self.store.find_current(task.tgid.leader());
        let group = self.store[ix].group().or_else(|| self.store[leader?].group());
        // After the group is gone, a younger group can have its tgid, and a thread of another group can have its leader's tid.
        let is_its = |group: &Group| group.tgid() == task.tgid.0 && group.start() <= start;
        let group = group.filter(|&group| is_its(&self.store[group]));
        let cgroup = match group {
            Some(group) => self.charge(group, &charge),
            None => self.charge_exited(task, start, &charge),
        };
        if is_final {
            self.accounting.ended.add(kind, cgroup, now);
        }
    }

    /// Stores what a task had used at its death; returns the figures that were stored before.
    fn wait_for_last_switch(&mut self, ix: Ix<Task>, early: UsageAtDeath) -> Option<TaskUsage> {
        if let Some((other, early)) = self.accounting.awaiting_last_switch.make_room() {
            // No final figures are expected for that task any more: its usage at its death counts.
            self.store[other].known |= known::ACCOUNTED;
            self.accounting.ended.add(early.kind, None, &early.usage);
        }
        self.accounting.awaiting_last_switch.put(ix, early)
    }

    /// Counts a task that ended and whose usage no record had.
    pub(crate) fn account_unknown(&mut self, group: Ix<Group>) {
        let start = self.store[group].start();
        let mut more = Descent::default();
        let charged_to = self.store.update_group_usage(group, |account, _| {
            let before = account.descent();
            account.unknown += 1;
            more = account.descent().minus(&before);
        });
        // The group's usage may have been added to its parent already, if the end of the group was emitted first.
        if let Some(charged_to) = charged_to {
            self.add_to_ancestors(charged_to, start, true, &more);
        }
    }

    /// Closes the accounting of a tombstone: usage that is not known by now stays unknown.
    pub(crate) fn close_account(&mut self, ix: Ix<Task>) {
        let task = &self.store[ix];
        if task.knows(known::ACCOUNTED) || !task.knows(known::END_EMITTED) {
            return;
        }
        if let Some(UsageAtDeath { kind, usage }) = self.accounting.awaiting_last_switch.take(ix) {
            self.accounting.ended.add(kind, None, &usage);
            return;
        }
        // A task that was dead before the first record can have late records only.
        let was_seen_alive = task.knows(known::FORK_EMITTED)
            || matches!(task.provenance, Provenance::Snapshot | Provenance::Repaired);
        self.accounting.ended.unknown += u64::from(was_seen_alive);
    }

    /// Changes the usage of a group and of all groups to which its usage was added. Returns the cgroup of the group.
    fn charge(&mut self, group: Ix<Group>, charge: &Charge) -> Option<u64> {
        let start = self.store[group].start();
        let mut more = Descent::default();
        let charged_to = self.store.update_group_usage(group, |account, charged_to| {
            if charged_to.is_some() {
                more = account.charge_and_diff(charge);
            } else {
                account.charge(charge);
            }
        });
        if let Some(charged_to) = charged_to {
            self.add_to_ancestors(charged_to, start, true, &more);
        }
        self.store.cgroup_of(&self.store[group])
    }

    /// Does the same as [`Self::charge`] for a group that has been released.
    fn charge_exited(&mut self, task: TaskRef, start: Ktime, charge: &Charge) -> Option<u64> {
        let exited = self.exited.last_before(task.tgid, start)?;
        let cgroup = exited.has(fact::CGROUP).then(|| self.store.profile_at(exited.profile).cgroup_id);
        let start = exited.key().start.unwrap_or(Ktime(0));
        let mut account = self.store.usage_of(&exited.usage).unwrap_or_default();
        let more = account.charge_and_diff(charge);
        self.store.set_usage_of(&mut exited.usage, &account);
        if let Some(charged_to) = exited.usage.charged_to() {
            self.add_to_ancestors(charged_to, start, true, &more);
        }
        cgroup
    }
}
