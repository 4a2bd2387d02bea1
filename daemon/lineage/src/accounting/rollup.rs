//! Adds what a dead child used to its parent's account, as the kernel's `wait_task_zombie()` does, and to that of each
//! ancestor when the child's parent ends.
//!
//! The kernel adds a child's figures when the parent waits for it, which can be before the last switch. This file adds the
//! figures of the last switch too, to every group that has received the child's figures by then. So the sums do not depend on
//! the order of records.

use crate::Lineage;
use crate::model::id::{Ktime, Tgid};
use crate::model::kinds::ReaperKind;
use crate::model::usage::{ChildrenUsage, Descent};
use crate::store::slot::charged_to::ChargedTo;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The most generations to which a late usage is added. Parents are older than their children, so only a wrong record can make a
/// cycle.
const GENERATIONS: usize = 4096;

impl ReaperKind {
    /// Whether the kernel adds what a child used to its parent's account when the parent reaps it.
    pub(crate) const fn charges_the_parent(self) -> bool {
        matches!(self, Self::Parent | Self::NamespaceInit)
    }
}

impl Lineage {
    /// Adds what a released group used to the process that waited for it, or else to its parent. Does so only once.
    pub(crate) fn charge_parent(&mut self, group: Ix<Group>, waiter: Option<Tgid>, by_wait: bool) {
        let members = &mut self.store[group];
        let parent = members.has(fact::PARENT).then_some(Tgid(members.parent_tgid()));
        let Some(to) = waiter.or(parent).filter(|to| to.0 != 0) else { return };
        if members.has(fact::CHARGED) {
            return;
        }
        members.set(fact::CHARGED, true);
        let charged_to = ChargedTo { to, by_wait };
        self.store.set_charged_to(group, Some(charged_to));
        self.charge_ancestors(group, charged_to, Descent::clone);
    }

    /// Subtracts what was added to the parent, because the group has not been released after all.
    pub(crate) fn uncharge_parent(&mut self, group: Ix<Group>) {
        if let Some(charged_to) = self.store.charged_to(&self.store[group]) {
            self.store.set_charged_to(group, None);
            self.store[group].set(fact::CHARGED, false);
            self.charge_ancestors(group, charged_to, |sum| Descent::default().minus(sum));
        }
    }

    /// Passes on what a group and its own children used. If no process waited for the group, the kernel passes nothing on,
    /// not even the usage of children that the group had waited for.
    fn charge_ancestors(
        &mut self,
        group: Ix<Group>,
        charged_to: ChargedTo,
        change: impl Fn(&Descent) -> Descent,
    ) {
        let start = self.oldest_start(group);
        let own = self.store.group_usage(group).unwrap_or_default().descent();
        self.add_to_ancestors(charged_to, start, true, &change(&own));
        let Some(ChildrenUsage { reaped, autoreaped }) = self.store.children_usage(group) else { return };
        if reaped.processes > 0 {
            self.add_to_ancestors(charged_to, start, true, &change(&reaped));
        }
        if autoreaped.processes > 0 {
            self.add_to_ancestors(charged_to, start, false, &change(&autoreaped));
        }
    }

    /// Adds later usage of a group to the parent that has received the group's usage, and on to each ancestor that has received
    /// the parent's. `is_reaped` is true as long as each group was reaped by wait(2).
    pub(crate) fn add_to_ancestors(
        &mut self,
        mut charged_to: ChargedTo,
        mut start: Ktime,
        mut is_reaped: bool,
        sum: &Descent,
    ) {
        for _ in 0..GENERATIONS {
            is_reaped &= charged_to.by_wait;
            let parent = self
                .store
                .find_current(charged_to.to.leader())
                .filter(|&leader| self.store.is_leader(leader));
            let parent = parent.and_then(|leader| self.store[leader].group());
            let parent = parent.filter(|&group| self.store[group].start() <= start);
            let next = if let Some(parent) = parent {
                self.store.add_to_parent(parent, is_reaped, sum);
                let parent = &self.store[parent];
                if !parent.has(fact::CHARGED) {
                    return;
                }
                start = parent.start();
                self.store.charged_to(parent)
            } else {
                let Some(exited) = self.exited.add_to_children(charged_to.to, start, is_reaped, sum) else {
                    return;
                };
                start = exited.key().start.unwrap_or(Ktime(0));
                exited.usage.charged_to()
            };
            let Some(next) = next else { return };
            charged_to = next;
        }
    }

    /// Returns when a group began, or the greatest time if that is unknown, because any parent is older.
    fn oldest_start(&self, group: Ix<Group>) -> Ktime {
        let members = &self.store[group];
        if members.has(fact::START) { members.start() } else { Ktime(u64::MAX) }
    }
}
