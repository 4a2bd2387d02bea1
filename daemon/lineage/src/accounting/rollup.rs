//! What a dead child used goes to its parent's account, as in the kernel's `wait_task_zombie()`, and on with that one's own end.
//!
//! The kernel adds a child's figures when it is waited for, which can be before its last switch. Here what that switch tells is
//! added too, to all to whom the figures were passed on by then: so the sums do not hang on the order of the records.

use crate::Lineage;
use crate::model::id::{Ktime, Tgid};
use crate::model::kinds::ReaperKind;
use crate::model::usage::{ChildrenUsage, Descent};
use crate::store::arena::Ix;
use crate::store::group::{Group, fact};

/// Generations that a late figure is handed up. Parents are older than their children, so only nonsense goes round in circles.
const GENERATIONS: usize = 4096;

/// To whom a group's figures were passed on when it was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Its parent, or who waited for it: the last to have this tgid that is older than the child.
    to: Tgid,
    /// Whether a wait(2) took it, and so the kernel passed them on as well.
    by_wait: bool,
}

impl ReaperKind {
    /// Whether the kernel adds what a child used to its parent's account when this one takes it.
    pub(crate) const fn charges_the_parent(self) -> bool {
        matches!(self, Self::Parent | Self::NamespaceInit)
    }
}

impl Lineage {
    /// A group is gone: who waited for it, or else its parent, gets what it used. Once only.
    pub(crate) fn pass_on(&mut self, group: Ix<Group>, waiter: Option<Tgid>, by_wait: bool) {
        let members = &mut self.store[group];
        let parent = members.has(fact::PARENT).then_some(Tgid(members.parent_tgid()));
        let Some(to) = waiter.or(parent).filter(|to| to.0 != 0) else { return };
        if members.has(fact::PASSED) {
            return;
        }
        members.set(fact::PASSED, true);
        let passed = Passed { to, by_wait };
        self.store.rare(group).passed = Some(passed);
        self.bequeath(group, passed, Descent::clone);
    }

    /// It is not gone after all: what was passed on is taken back.
    pub(crate) fn take_back_usage(&mut self, group: Ix<Group>) {
        let passed = self.store[group].rare().and_then(|rare| self.store[rare].passed.take());
        if let Some(passed) = passed {
            self.store[group].set(fact::PASSED, false);
            self.bequeath(group, passed, |sum| Descent::default().minus(sum));
        }
    }

    /// Passes on what a group used and what it had of its own children. Of a group that nobody waited for the kernel passes nothing on,
    /// not even what its own waits had brought it.
    fn bequeath(&mut self, group: Ix<Group>, passed: Passed, change: impl Fn(&Descent) -> Descent) {
        let start = self.oldest_start(group);
        let own = self.store.group_usage(group).unwrap_or_default().descent();
        self.raise(passed, start, true, &change(&own));
        let Some(ChildrenUsage { reaped, autoreaped }) = self.store.children_usage(group) else { return };
        if reaped.processes > 0 {
            self.raise(passed, start, true, &change(&reaped));
        }
        if autoreaped.processes > 0 {
            self.raise(passed, start, false, &change(&autoreaped));
        }
    }

    /// Later figures of a group follow those that were passed on to a parent, and go on to all to whom that one's were. `is_reaped` as
    /// long as each of them was waited for.
    pub(crate) fn raise(&mut self, mut passed: Passed, mut start: Ktime, mut is_reaped: bool, sum: &Descent) {
        for _ in 0..GENERATIONS {
            is_reaped &= passed.by_wait;
            let parent = self.store.holder(passed.to.leader()).filter(|&leader| self.store.is_leader(leader));
            let parent = parent.and_then(|leader| self.store[leader].group());
            let parent = parent.filter(|&group| self.store[group].start() <= start);
            let next = if let Some(parent) = parent {
                self.store.add_to_parent(parent, is_reaped, sum);
                let parent = &self.store[parent];
                if !parent.has(fact::PASSED) {
                    return;
                }
                start = parent.start();
                parent.rare().and_then(|rare| self.store[rare].passed)
            } else {
                let Some(grave) = self.graves.last_before(passed.to, start) else { return };
                grave.life.children_usage.get_or_insert_default().of(is_reaped).add(sum);
                start = grave.life.key.start.unwrap_or(Ktime(0));
                grave.passed
            };
            let Some(next) = next else { return };
            passed = next;
        }
    }

    /// When a group began, or the end of time where that is unknown: any parent is older.
    fn oldest_start(&self, group: Ix<Group>) -> Ktime {
        let members = &self.store[group];
        if members.has(fact::START) { members.start() } else { Ktime(u64::MAX) }
    }
}
