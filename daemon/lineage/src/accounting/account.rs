//! What a second record of a death adds to the first, and what a task used to its group's account.

use crate::Lineage;
use crate::accounting::awaiting_last_switch::Early;
use crate::model::id::{Ktime, TaskRef};
use crate::model::kinds::Provenance;
use crate::model::record::{ExitSource, Exited, Usage};
use crate::model::task::TaskState;
use crate::model::usage::Charge;
use crate::store::arena::Ix;
use crate::store::group::Group;
use crate::store::task::{Task, known};

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
            self.earlies.take(ix).map(|early| early.usage)
        } else {
            self.wait_for_last_switch(ix, Early { kind, usage: *now })
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
        let leader = self.store.holder(task.tgid.leader());
        let group = self.store[ix].group().or_else(|| self.store[leader?].group());
        // Once the group is gone, a younger group can have its tgid, and a thread of any other the tid of its leader.
        let is_its = |group: &Group| group.tgid() == task.tgid.0 && group.start() <= start;
        let group = group.filter(|&group| is_its(&self.store[group]));
        let cgroup = match group {
            Some(group) => self.charge(group, &charge),
            None => self.charge_grave(task, start, &charge),
        };
        if is_final {
            self.ended.add(kind, cgroup, now);
        }
    }

    /// Remembers what a task had used when it was dead; what was known of that before.
    fn wait_for_last_switch(&mut self, ix: Ix<Task>, early: Early) -> Option<Usage> {
        if let Some((other, early)) = self.earlies.make_room() {
            // Of that one its death's figures stand.
            self.store[other].known |= known::ACCOUNTED;
            self.ended.add(early.kind, None, &early.usage);
        }
        self.earlies.put(ix, early)
    }

    /// A task ends of which nobody saw what it used.
    pub(crate) fn account_unknown(&mut self, group: Ix<Group>) {
        let (start, rare) = (self.store[group].start(), self.store.rare(group));
        let account = rare.usage.get_or_insert_default();
        let before = account.descent();
        account.unknown += 1;
        let more = account.descent().minus(&before);
        // Passed on already where the end of the group was told before that of this task.
        if let Some(passed) = rare.passed {
            self.raise(passed, start, true, &more);
        }
    }

    /// A tombstone goes: what its task used and is not known by now never will be.
    pub(crate) fn close_account(&mut self, ix: Ix<Task>) {
        let task = &self.store[ix];
        if task.knows(known::ACCOUNTED) || !task.knows(known::END_TOLD) {
            return;
        }
        if let Some(Early { kind, usage }) = self.earlies.take(ix) {
            self.ended.add(kind, None, &usage);
            return;
        }
        // Of one that was already dead when anyone began to look there are late records at most.
        let was_seen_alive = task.knows(known::BIRTH_TOLD)
            || matches!(task.provenance, Provenance::Snapshot | Provenance::Repaired);
        self.ended.unknown += u64::from(was_seen_alive);
    }

    /// Changes the account of a group, and of all to whom that was passed on. Its cgroup.
    fn charge(&mut self, group: Ix<Group>, charge: &Charge) -> Option<u64> {
        let (start, rare) = (self.store[group].start(), self.store.rare(group));
        let account = rare.usage.get_or_insert_default();
        if let Some(passed) = rare.passed {
            let more = account.charge_and_tell(charge);
            self.raise(passed, start, true, &more);
        } else {
            account.charge(charge);
        }
        self.store[group].cgroup()
    }

    /// The same of a group that is gone.
    fn charge_grave(&mut self, task: TaskRef, start: Ktime, charge: &Charge) -> Option<u64> {
        let grave = self.graves.last_before(task.tgid, start)?;
        let cgroup = grave.life.cgroup_id;
        let start = grave.life.key.start.unwrap_or(Ktime(0));
        let more = grave.life.usage.get_or_insert_default().charge_and_tell(charge);
        if let Some(passed) = grave.passed {
            self.raise(passed, start, true, &more);
        }
        cgroup
    }
}
