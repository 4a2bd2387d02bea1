//! What a second record of a death adds to the first, and what a task used to its group's account.

use crate::Lineage;
use crate::accounting::awaiting_last_switch::UsageAtDeath;
use crate::model::id::{Ktime, TaskRef};
use crate::model::kinds::Provenance;
use crate::model::record::{ExitSource, Exited, Usage};
use crate::model::task::TaskState;
use crate::model::usage::{Charge, Descent};
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// A later exit record of a task adds what the first could not know.
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

    /// Adds what a task used to its group's. What it had used when it was dead counts until its last switch tells the rest: if
    /// that is lost, hardly anything is.
    pub(crate) fn account(&mut self, ix: Ix<Task>, exited: &Exited) {
        let Some(usage) = &exited.usage else { return };
        let is_final = exited.source == ExitSource::FinalSwitch;
        self.account_usage(ix, exited.task, usage, is_final);
        if is_final {
            self.store[ix].known |= known::ACCOUNTED;
        }
    }

    pub(crate) fn account_usage(&mut self, ix: Ix<Task>, task: TaskRef, now: &Usage, is_final: bool) {
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
        // The key of a leader that an exec pushed aside is not the one its own records have.
        let start = self.store[ix].key().start;
        let leader = self.store.find_current(task.tgid.leader());
        let group = self.store[ix].group().or_else(|| self.store[leader?].group());
        // Once the group is gone, a younger group can have its tgid, and a thread of any other the tid of its leader.
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

    /// Remembers what a task had used when it was dead; what was known of that before.
    fn wait_for_last_switch(&mut self, ix: Ix<Task>, early: UsageAtDeath) -> Option<Usage> {
        if let Some((other, early)) = self.accounting.awaiting_last_switch.make_room() {
            // Of that one its death's figures stand.
            self.store[other].known |= known::ACCOUNTED;
            self.accounting.ended.add(early.kind, None, &early.usage);
        }
        self.accounting.awaiting_last_switch.put(ix, early)
    }

    /// A task ends of which nobody saw what it used.
    pub(crate) fn account_unknown(&mut self, group: Ix<Group>) {
        let start = self.store[group].start();
        let mut more = Descent::default();
        let charged_to = self.store.update_group_usage(group, |account, _| {
            let before = account.descent();
            account.unknown += 1;
            more = account.descent().minus(&before);
        });
        // Passed on already where the end of the group was told before that of this task.
        if let Some(charged_to) = charged_to {
            self.add_to_ancestors(charged_to, start, true, &more);
        }
    }

    /// A tombstone goes: what its task used and is not known by now never will be.
    pub(crate) fn close_account(&mut self, ix: Ix<Task>) {
        let task = &self.store[ix];
        if task.knows(known::ACCOUNTED) || !task.knows(known::END_EMITTED) {
            return;
        }
        if let Some(UsageAtDeath { kind, usage }) = self.accounting.awaiting_last_switch.take(ix) {
            self.accounting.ended.add(kind, None, &usage);
            return;
        }
        // Of one that was already dead when anyone began to look there are late records at most.
        let was_seen_alive = task.knows(known::FORK_EMITTED)
            || matches!(task.provenance, Provenance::Snapshot | Provenance::Repaired);
        self.accounting.ended.unknown += u64::from(was_seen_alive);
    }

    /// Changes the account of a group, and of all to whom that was passed on. Its cgroup.
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

    /// The same of a group that is gone.
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
