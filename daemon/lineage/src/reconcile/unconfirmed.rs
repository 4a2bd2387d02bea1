//! Zombies whose release may have gone unseen: after a loss, and where a release is seen late or never.
//!
//! The record of a zombie's release may be among the lost ones, so a zombie is unconfirmed from the loss on, until a record, the
//! kernel's iterator or /proc shows it again. An unconfirmed zombie is not counted, not reported and not added to its parent's zombies.

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
    /// Records were lost up to this moment, and releases may be among them: every zombie is unconfirmed from now on, and so is each
    /// that began before it by a record still to come. A step for each zombie.
    pub fn doubt_zombies(&mut self, lost_until: Ktime) {
        self.reconcile.lost_until = lost_until.max(self.reconcile.lost_until);
        self.store.make_zombies_unconfirmed();
    }

    /// Whether a zombie that began then is certain.
    pub(crate) fn is_after_losses(&self, began: Ktime) -> bool {
        began > self.reconcile.lost_until
    }

    /// Something outside the records shows that this zombie is still there.
    pub fn confirm_zombie(&mut self, key: GroupKey) {
        if let Some((leader, group)) = self.find_unconfirmed_zombie(key) {
            self.store.confirm_zombie(leader, group);
        }
    }

    /// The kernel does not have this unconfirmed zombie any more, and no record of its release is under way. False if it is none.
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

    /// After a whole snapshot: each unconfirmed zombie that it showed in any state is there.
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

    /// /proc does not have this zombie any more, and no record of its release is under way: its parent reaped it, and it waits for
    /// its RCU callback. False if it is no zombie, or if releases are seen when they begin: then its release was missed, which a
    /// snapshot mends and counts.
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
        // The parent that died reaped it, as far as nothing else is known.
        if !self.resolve_pending_reparent(group, None, at, out) {
            self.finish(from, out);
            return false;
        }
        let ctx = EventContext { at, provenance: Provenance::Inferred, hook: None };
        self.die_and_be_reaped(leader, group, Death::default(), &mut Transition::new(ctx, out));
        self.finish(from, out);
        true
    }

    /// A zombie that counts as one.
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
