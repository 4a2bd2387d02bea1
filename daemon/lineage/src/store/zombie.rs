//! Which groups are zombies, and how many each parent has.

use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

impl Store {
    /// Marks a dead leader's group as a zombie. `is_older`: it became one before the time in `Task::since`. `is_confirmed`: no record
    /// that may have shown its release is lost.
    pub(crate) fn set_zombie(
        &mut self,
        leader: Ix<Task>,
        group: Ix<Group>,
        is_older: bool,
        is_confirmed: bool,
    ) {
        self.groups[group].set(fact::ZOMBIE, true);
        if is_older {
            self.groups[group].set(fact::ZOMBIE_OLDER, true);
        }
        self.note_unpacked(group);
        if is_confirmed {
            self.enqueue(leader, Queue::Zombie);
            self.cgroup_counts(group).zombies += 1;
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).zombies += 1;
            }
        } else {
            self.groups[group].set(fact::UNCONFIRMED, true);
            self.enqueue(leader, Queue::Unconfirmed);
        }
    }

    /// Marks every zombie as unconfirmed: none of them is counted, nor is its parent charged with it. Costs O(zombies).
    pub(crate) fn make_zombies_unconfirmed(&mut self) {
        for queue in [Queue::Flagged, Queue::Zombie] {
            while let Some(leader) = self.queue_ends(queue).first {
                self.make_zombie_unconfirmed(leader);
            }
        }
    }

    /// Marks a confirmed zombie as unconfirmed.
    pub(crate) fn make_zombie_unconfirmed(&mut self, leader: Ix<Task>) {
        let was_flagged = self.tasks[leader].queue == Queue::Flagged;
        self.enqueue(leader, Queue::Unconfirmed);
        let Some(group) = self.tasks[leader].group else { return };
        self.groups[group].set(fact::UNCONFIRMED, true);
        self.groups[group].set(fact::FLAGGED, was_flagged);
        self.cgroup_counts(group).zombies -= 1;
        if let Some(parents) = self.parents_of(group) {
            self.debt(parents).zombies -= 1;
        }
    }

    /// Confirms an unconfirmed zombie: it counts again, and is flagged if it was flagged before. Changes no other task.
    pub(crate) fn confirm_zombie(&mut self, leader: Ix<Task>, group: Ix<Group>) {
        if self.tasks[leader].queue != Queue::Unconfirmed {
            return;
        }
        let queue = if self.groups[group].has(fact::FLAGGED) { Queue::Flagged } else { Queue::Zombie };
        self.groups[group].set(fact::UNCONFIRMED | fact::FLAGGED, false);
        self.enqueue(leader, queue);
        self.cgroup_counts(group).zombies += 1;
        if let Some(parents) = self.parents_of(group) {
            self.debt(parents).zombies += 1;
        }
    }

    /// Clears the zombie state: the group was reaped, one of its threads lives, or another thread took the leader's place.
    pub(crate) fn clear_zombie(&mut self, group: Ix<Group>) {
        let Some(leader) = self.groups[group].leader else { return };
        if matches!(
            self.tasks[leader].queue,
            Queue::Candidate | Queue::Zombie | Queue::Flagged | Queue::Unconfirmed
        ) {
            self.dequeue(leader);
        }
        if self.groups[group].has(fact::ZOMBIE) {
            let was_owed_a_wait = self.groups[group].is_owed_a_wait();
            self.groups[group].set(fact::ZOMBIE | fact::ZOMBIE_OLDER | fact::ZOMBIE_YOUNGER, false);
            self.groups[group].set(fact::UNCONFIRMED | fact::FLAGGED, false);
            if was_owed_a_wait {
                self.cgroup_counts(group).zombies -= 1;
                if let Some(parents) = self.parents_of(group) {
                    self.debt(parents).zombies -= 1;
                }
            }
        }
    }

    /// Records whether a group's leader is dead while others of its tasks live.
    pub(crate) fn set_dead_leader(&mut self, group: Ix<Group>, yes: bool) {
        let members = &mut self.groups[group];
        match (members.has(fact::DEAD_LEADER), yes) {
            (false, true) => self.dead_leaders += 1,
            (true, false) => self.dead_leaders -= 1,
            _ => return,
        }
        members.set(fact::DEAD_LEADER, yes);
    }
}
