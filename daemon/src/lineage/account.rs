//! What a second record of a death adds to the first, and what a task used to its group's account.

use super::Lineage;
use super::arena::Ix;
use super::record::{ExitSource, Exited};
use super::task::{Task, known};

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

    /// Adds what a task used to its group's, once, when it has left its CPU for good.
    pub(super) fn account(&mut self, ix: Ix<Task>, exited: &Exited) {
        if exited.source != ExitSource::FinalSwitch || self.tasks[ix].knows(known::ACCOUNTED) {
            return;
        }
        self.tasks[ix].known |= known::ACCOUNTED;
        let Some(usage) = exited.usage else { return };
        let start = self.tasks[ix].key.start;
        let leader = self.holder(exited.task.tgid.leader());
        let group = self.tasks[ix].group.or_else(|| self.tasks[leader?].group);
        match group.filter(|&group| self.groups[group].start <= start) {
            Some(group) => self.rare(group).usage.get_or_insert_default().add(&usage),
            None => self.graves.add_usage(exited.task.tgid, start, &usage),
        }
    }
}
