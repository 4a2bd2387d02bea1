//! What the death of one task means for its group: a dead leader, a dead group, a zombie.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect};
use super::group::{Group, fact};
use super::status::GroupStatus;
use super::task::{Task, TaskState};
use super::view::Told;

impl Lineage {
    /// A leader died before the others of its group.
    pub(super) fn leader_died(&mut self, ix: Ix<Task>, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        self.extra(group).set_leader_died_at(told.at);
        self.set_dead_leader(group, true);
        let members = &mut self.groups[group];
        members.set(fact::LEADER_DIED, true);
        // In a group exit the others die as well, in whatever order.
        let threads_left = members.live;
        if threads_left > 0 && !matches!(members.status(), GroupStatus::Group(_)) {
            self.tell(out, ix, told, Action::LeaderDied { threads_left });
        }
    }

    pub(super) fn set_dead_leader(&mut self, group: Ix<Group>, yes: bool) {
        let members = &mut self.groups[group];
        match (members.has(fact::DEAD_LEADER), yes) {
            (false, true) => self.dead_leaders += 1,
            (true, false) => self.dead_leaders -= 1,
            _ => return,
        }
        members.set(fact::DEAD_LEADER, yes);
    }

    /// What the death or the departure of one task means for its group.
    pub(super) fn after_a_death(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        self.tell_group_exit(group, told, out);
        self.zombie_may_begin(group, told, out);
        // Not from here: whoever called goes on with this group.
        if self.groups[group].has(fact::FREED)
            && let Some(leader) = self.groups[group].leader
        {
            self.releasable.push((self.tasks[leader].key, told.at));
        }
    }

    pub(super) fn tell_group_exit(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        let members = &self.groups[group];
        let Some(leader) = members.leader else { return };
        if self.tasks[leader].state < TaskState::Zombie {
            return;
        }
        if members.is_dead() && !members.has(fact::EXIT_TOLD) {
            self.groups[group].set(fact::EXIT_TOLD, true);
            let usage = self.group_usage(group);
            let death = self.group_death(group, told.at);
            self.tell(out, leader, Told { hook: None, ..told }, Action::GroupExited { usage, death });
        }
    }
}
