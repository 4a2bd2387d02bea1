//! Zombies after a loss. The record of a zombie's release may be among the lost ones, so a zombie is unconfirmed from the loss on, until
//! a record, the kernel's iterator or /proc shows it again. An unconfirmed zombie is not counted, not told and charged to no parent.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Effect, Provenance};
use super::group::{Group, fact};
use super::id::{GroupKey, Ktime};
use super::task::{Queue, Task};
use super::view::Told;

impl Lineage {
    /// Records were lost up to this moment, and releases may be among them: every zombie is unconfirmed from now on, and so is each
    /// that began before it by a record still to come. A step for each zombie.
    pub fn doubt_zombies(&mut self, lost_until: Ktime) {
        self.lost_until = lost_until.max(self.lost_until);
        for queue in [Queue::Flagged, Queue::Zombie] {
            while let Some(leader) = self.queues.ends(queue).first {
                self.queues.put(&mut self.tasks, leader, Queue::Unconfirmed);
                let Some(group) = self.tasks[leader].group else { continue };
                self.groups[group].set(fact::UNCONFIRMED, true);
                self.groups[group].set(fact::FLAGGED, queue == Queue::Flagged);
                if let Some(parents) = self.parents_of(group) {
                    self.debt(parents).zombies -= 1;
                }
            }
        }
    }

    /// Whether a zombie that began then is certain.
    pub(super) fn is_after_losses(&self, began: Ktime) -> bool {
        began > self.lost_until
    }

    /// Something outside the records shows that this zombie is still there.
    pub fn confirm_zombie(&mut self, key: GroupKey) {
        if let Some((leader, group)) = self.unconfirmed_zombie(key) {
            self.confirm(leader, group);
        }
    }

    /// The kernel does not have this unconfirmed zombie any more, and no record of its release is under way. False if it is none.
    pub fn end_unconfirmed_zombie(&mut self, key: GroupKey, at: Ktime, out: &mut Vec<Effect>) -> bool {
        let Some((leader, group)) = self.unconfirmed_zombie(key) else { return false };
        let told = Told { at, provenance: Provenance::Repaired, hook: None };
        self.end_missing(leader, group, told, out);
        true
    }

    /// A zombie that was shown counts again, and stays flagged if it was.
    pub(super) fn confirm(&mut self, leader: Ix<Task>, group: Ix<Group>) {
        if self.tasks[leader].queue != Queue::Unconfirmed {
            return;
        }
        let queue = if self.groups[group].has(fact::FLAGGED) { Queue::Flagged } else { Queue::Zombie };
        self.groups[group].set(fact::UNCONFIRMED | fact::FLAGGED, false);
        self.queues.put(&mut self.tasks, leader, queue);
        if let Some(parents) = self.parents_of(group) {
            self.debt(parents).zombies += 1;
        }
    }

    /// After a whole snapshot: whoever it showed in any state is there.
    pub(super) fn confirm_all_shown(&mut self) {
        let mut next = self.queues.ends(Queue::Unconfirmed).first;
        while let Some(leader) = next {
            next = self.tasks[leader].queue_next;
            if let Some(group) = self.tasks[leader].group.filter(|_| self.tasks[leader].round == self.round) {
                self.confirm(leader, group);
            }
        }
    }

    fn unconfirmed_zombie(&self, key: GroupKey) -> Option<(Ix<Task>, Ix<Group>)> {
        let leader = self.holder(key.tgid.leader())?;
        let group = self.tasks[leader].group?;
        let is_it = self.groups[group].key() == key && self.tasks[leader].queue == Queue::Unconfirmed;
        is_it.then_some((leader, group))
    }
}
