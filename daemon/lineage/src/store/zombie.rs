//! Which groups are zombies, and how many each parent has.

use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

impl Store {
    /// Marks a dead leader's group as a zombie. `is_older`: it became one before the time in `Task::since`.
    pub(crate) fn set_zombie(&mut self, leader: Ix<Task>, group: Ix<Group>, is_older: bool) {
        self.groups[group].set(fact::ZOMBIE, true);
        if is_older {
            self.groups[group].set(fact::ZOMBIE_OLDER, true);
        }
        self.enqueue(leader, Queue::Zombie);
        if let Some(parents) = self.parents_of(group) {
            self.debt(parents).zombies += 1;
        }
    }

    /// Clears the zombie state: the group was reaped, one of its threads lives, or another thread took the leader's place.
    pub(crate) fn clear_zombie(&mut self, group: Ix<Group>) {
        let Some(leader) = self.groups[group].leader else { return };
        if matches!(self.tasks[leader].queue, Queue::Candidate | Queue::Zombie | Queue::Flagged) {
            self.dequeue(leader);
        }
        if self.groups[group].has(fact::ZOMBIE) {
            self.groups[group].set(fact::ZOMBIE | fact::ZOMBIE_OLDER | fact::ZOMBIE_YOUNGER, false);
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).zombies -= 1;
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
