//! What a second record of a death adds to the first, and what a task used to its group's account.

use super::Lineage;
use super::arena::Ix;
use super::id::{TaskKey, TaskRef};
use super::record::{ExitSource, Exited, Usage};
use super::task::{Task, known};

/// What a task had used when it was dead, and not yet off its CPU: part of its group's account.
#[derive(Clone, Copy, Debug)]
pub(super) struct EarlyUsage {
    /// Whose.
    pub(super) of: TaskKey,
    pub(super) usage: Usage,
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
        let is_final = exited.source == ExitSource::FinalSwitch;
        if let Some(usage) = exited.usage {
            self.account_usage(ix, exited.task, usage, is_final);
        }
        if is_final {
            self.tasks[ix].known |= known::ACCOUNTED;
        }
    }

    pub(super) fn account_usage(&mut self, ix: Ix<Task>, task: TaskRef, usage: Usage, is_final: bool) {
        if self.tasks[ix].knows(known::ACCOUNTED) {
            return;
        }
        let key = self.tasks[ix].key;
        let leader = self.holder(task.tgid.leader());
        let group = self.tasks[ix].group.or_else(|| self.tasks[leader?].group);
        let Some(group) = group.filter(|&group| self.groups[group].start <= key.start) else {
            if is_final {
                self.graves.add_usage(task.tgid, key, &usage);
            }
            return;
        };
        let rare = self.rare(group);
        let account = rare.usage.get_or_insert_default();
        let former = rare.early.take();
        if let Some(early) = &former
            && early.of == key
        {
            account.subtract(&early.usage);
        }
        account.add(&usage);
        if !is_final {
            rare.early = Some(EarlyUsage { of: key, usage });
        }
        let Some(other) = former.filter(|early| early.of != key) else { return };
        if is_final {
            self.rare(group).early = Some(other);
        } else {
            // One is waited for at a time: of the other its death's figures stand.
            if let Some(other) = self.find(other.of) {
                self.tasks[other].known |= known::ACCOUNTED;
            }
        }
    }
}
