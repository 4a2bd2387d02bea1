//! What a second record of a death adds to the first, and what a task used to its group's account.

use super::Lineage;
use super::arena::Ix;
use super::effect::Provenance;
use super::group::Group;
use super::id::{Ktime, TaskRef};
use super::record::{ExitSource, Exited, Usage};
use super::task::{Task, TaskState, known};
use super::usage::GroupUsage;

/// How a group's account changes by one task's figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// Whose figures.
    task: TaskRef,
    /// What was told of it before, and now.
    before: Option<Usage>,
    now: Usage,
    /// These are its last.
    is_final: bool,
    /// It ended before, without figures.
    was_unknown: bool,
}

impl Charge {
    pub(super) const fn task(&self) -> TaskRef {
        self.task
    }

    pub(super) const fn figures(&self) -> (Option<Usage>, Usage) {
        (self.before, self.now)
    }

    pub(super) fn apply(&self, account: &mut GroupUsage) {
        if let Some(before) = &self.before {
            account.sum = account.sum.minus(before);
            account.pending = account.pending.saturating_sub(1);
        } else {
            account.tasks = account.tasks.saturating_add(1);
        }
        account.sum.add(&self.now);
        account.pending += u32::from(!self.is_final);
        account.unknown = account.unknown.saturating_sub(u32::from(self.was_unknown));
    }
}

impl Lineage {
    /// A later exit record of a task adds what the first could not know.
    pub(super) fn complete(&mut self, ix: Ix<Task>, exited: &Exited) {
        if exited.source == ExitSource::FinalSwitch && !self.tasks[ix].knows(known::ACCOUNTED) {
            self.stats.completed += 1;
        } else {
            self.stats.duplicate += 1;
        }
        if !self.tasks[ix].knows(known::EXIT_CODE) {
            self.learn_exit_code(ix, exited.exit.exit_code);
        }
        self.account(ix, exited);
    }

    /// Adds what a task used to its group's. What it had used when it was dead counts until its last switch tells the rest: if
    /// that is lost, hardly anything is.
    pub(super) fn account(&mut self, ix: Ix<Task>, exited: &Exited) {
        let Some(usage) = exited.usage else { return };
        let is_final = exited.source == ExitSource::FinalSwitch;
        self.account_usage(ix, exited.task, usage, is_final);
        if is_final {
            self.tasks[ix].known |= known::ACCOUNTED;
        }
    }

    pub(super) fn account_usage(&mut self, ix: Ix<Task>, task: TaskRef, now: Usage, is_final: bool) {
        if self.tasks[ix].knows(known::ACCOUNTED) {
            return;
        }
        let before = self.earlies.get(ix);
        if !is_final {
            if let Some(given_up) = self.earlies.put(ix, now) {
                // Of that one its death's figures stand.
                self.tasks[given_up].known |= known::ACCOUNTED;
            }
        } else if before.is_some() {
            self.earlies.remove(ix);
        }
        // The key of a leader that an exec pushed aside is not the one its own records have.
        let task = TaskRef { key: self.tasks[ix].key, ..task };
        let was_unknown = before.is_none() && self.tasks[ix].state >= TaskState::Zombie;
        let charge = Charge { task, before, now, is_final, was_unknown };
        let leader = self.holder(task.tgid.leader());
        let group = self.tasks[ix].group.or_else(|| self.tasks[leader?].group);
        let group = group.filter(|&group| self.groups[group].start <= task.key.start);
        let cgroup = match group {
            Some(group) => self.charge(group, &charge),
            None => self.charge_grave(&charge),
        };
        let is_leader = self.tasks[ix].key.tid == task.tgid.leader();
        self.ended.charge(self.tasks[ix].kind(is_leader), cgroup, &charge);
    }

    /// What those tasks of a group used that are dead.
    pub(super) fn group_usage(&self, group: Ix<Group>) -> Option<GroupUsage> {
        self.groups[group].rare.and_then(|rare| self.rares[rare].usage)
    }

    /// A task ends of which nobody saw what it used.
    pub(super) fn account_unknown(&mut self, group: Ix<Group>) {
        self.rare(group).usage.get_or_insert_default().unknown += 1;
    }

    /// A tombstone goes: what its task used and is not known by now never will be.
    pub(super) fn close_account(&mut self, ix: Ix<Task>) {
        let task = &self.tasks[ix];
        // Of one that was already dead when anyone began to look there are late records at most.
        let was_seen_alive = task.knows(known::BIRTH_TOLD)
            || matches!(task.provenance, Provenance::Snapshot | Provenance::Repaired);
        let has_figures = task.knows(known::ACCOUNTED) || self.earlies.get(ix).is_some();
        if was_seen_alive && task.knows(known::END_TOLD) && !has_figures {
            self.ended.unknown += 1;
        }
        self.earlies.remove(ix);
    }

    /// Changes the account of a group, and of all to whom that was passed on. Its cgroup.
    fn charge(&mut self, group: Ix<Group>, charge: &Charge) -> Option<u64> {
        let (start, rare) = (self.groups[group].start, self.rare(group));
        let account = rare.usage.get_or_insert_default();
        let before = *account;
        charge.apply(account);
        if let Some(passed) = rare.passed {
            let more = account.descent().minus(&before.descent());
            self.raise(passed, start, true, &more);
        }
        self.groups[group].cgroup()
    }

    /// The same of a group that is gone.
    fn charge_grave(&mut self, charge: &Charge) -> Option<u64> {
        let life = self.graves.last_before(charge.task().tgid, charge.task().key.start)?;
        let start = life.life.key.start.unwrap_or(Ktime(0));
        let account = life.life.usage.get_or_insert_default();
        let before = *account;
        charge.apply(account);
        let (passed, cgroup) = (life.passed, life.life.cgroup_id);
        if let Some(passed) = passed {
            let more = account.descent().minus(&before.descent());
            self.raise(passed, start, true, &more);
        }
        cgroup
    }
}
