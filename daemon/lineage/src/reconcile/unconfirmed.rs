//! Zombies whose release may have been missed: after a loss, and where hooks report releases late or not at all.
//!
//! The record of a zombie's release may be among the lost ones, so a zombie is unconfirmed from the loss on, until a record,
//! the kernel's iterator or /proc shows it again. An unconfirmed zombie is not counted, not reported and not added to its
//! parent's zombies.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, Ktime};
use crate::model::kinds::Provenance;
use crate::store::slot::group::Group;
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Marks every zombie as unconfirmed, because records were lost up to this time and releases may be among them. A zombie that
    /// began before this time by a later record is unconfirmed too. Costs O(zombies).
    pub fn doubt_zombies(&mut self, lost_until: Ktime) {
        self.reconcile.lost_until = lost_until.max(self.reconcile.lost_until);
        self.store.make_zombies_unconfirmed();
    }

    /// Whether a zombie that began at this time is certain to exist.
    pub(crate) fn is_after_losses(&self, began: Ktime) -> bool {
        began > self.reconcile.lost_until
    }

    /// Confirms a zombie that /proc or the iterator shows.
    pub fn confirm_zombie(&mut self, key: GroupKey) {
        if let Some((leader, group)) = self.find_unconfirmed_zombie(key) {
            self.store.confirm_zombie(leader, group);
        }
    }

    /// Ends an unconfirmed zombie that the kernel does not have any more, with no record of its release in flight. Returns false
    /// if it is not an unconfirmed zombie.
    pub fn end_unconfirmed_zombie(&mut self, key: GroupKey, at: Ktime, out: &mut Vec<Effect>) -> bool {
        let Some((leader, group)) = self.find_unconfirmed_zombie(key) else { return false };
        let from = out.len();
        if self.awaits_callback(group, at) {
            return false;
        }
        if !self.resolve_pending_reparent(group, None, at, out) {
            self.finish(from, out);
            return false;
        }
        let ctx = EventContext { at, provenance: Provenance::Repaired, hook: None };
        self.end_missing(leader, group, &mut Transition::new(ctx, out));
        self.finish(from, out);
        true
    }

    /// Confirms each unconfirmed zombie that a complete snapshot has shown.
    pub(crate) fn confirm_all_shown(&mut self) {
        let mut next = self.store.queue_ends(Queue::Unconfirmed).first;
        while let Some(leader) = next {
            let task = &self.store[leader];
            next = task.queue_next();
            let is_shown = task.round == self.reconcile.snapshot_number;
            if let Some(group) = task.group().filter(|_| is_shown) {
                self.store.confirm_zombie(leader, group);
            }
        }
    }

    /// Ends a zombie that /proc does not show any more, with no record of its release in flight: its parent reaped it, and its
    /// RCU callback is still to come. Returns false if it is not a zombie, or if hooks report releases when they begin; then the
    /// release was missed, and a snapshot repairs and counts it.
    pub fn end_reaped_zombie(&mut self, key: GroupKey, at: Ktime, out: &mut Vec<Effect>) -> bool {
        if self.reconcile.sees_releases {
            return false;
        }
        let Some((leader, group)) = self.find_zombie(key) else { return false };
        if self.awaits_callback(group, at) {
            self.store.make_zombie_unconfirmed(leader);
            return true;
        }
        let from = out.len();
        // Without other evidence, the parent that died reaped it.
        if !self.resolve_pending_reparent(group, None, at, out) {
            self.finish(from, out);
            return false;
        }
        let ctx = EventContext { at, provenance: Provenance::Inferred, hook: None };
        self.die_and_be_reaped(leader, group, Death::default(), &mut Transition::new(ctx, out));
        self.finish(from, out);
        true
    }

    /// Returns the group if it is a confirmed zombie.
    pub(crate) fn find_zombie(&self, key: GroupKey) -> Option<(Ix<Task>, Ix<Group>)> {
        let leader = self.store.find_current(key.tgid.leader())?;
        let group = self.store[leader].group()?;
        let is_it = self.store[group].key() == key
            && matches!(self.store[leader].queue(), Queue::Zombie | Queue::Flagged);
        is_it.then_some((leader, group))
    }

    fn find_unconfirmed_zombie(&self, key: GroupKey) -> Option<(Ix<Task>, Ix<Group>)> {
        let leader = self.store.find_current(key.tgid.leader())?;
        let group = self.store[leader].group()?;
        let is_it = self.store[group].key() == key && self.store[leader].queue() == Queue::Unconfirmed;
        is_it.then_some((leader, group))
    }
}
