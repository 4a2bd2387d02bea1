//! What the death of one task means for its group: a dead leader, a dead group, a zombie.

use crate::Lineage;
use crate::apply::context::Told;
use crate::model::effect::{Action, Effect};
use crate::model::status::GroupStatus;
use crate::model::task::TaskState;
use crate::store::arena::Ix;
use crate::store::group::{Group, fact};
use crate::store::task::Task;

impl Lineage {
    /// A leader died before the others of its group.
    pub(crate) fn leader_died(&mut self, ix: Ix<Task>, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        self.store.rare(group).leader_died_at = Some(told.at);
        self.store.set_dead_leader(group, true);
        let members = &mut self.store[group];
        members.set(fact::LEADER_DIED, true);
        // In a group exit the others die as well, in whatever order.
        let threads_left = members.live();
        if threads_left > 0 && !matches!(members.status, GroupStatus::Group(_)) {
            self.tell(out, ix, told, Action::LeaderDied { threads_left });
        }
    }

    /// What the death or the departure of one task means for its group.
    pub(crate) fn after_a_death(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        self.tell_group_exit(group, told, out);
        self.zombie_may_begin(group, told, out);
        // Not from here: whoever called goes on with this group.
        if self.store[group].has(fact::FREED)
            && let Some(leader) = self.store[group].leader()
        {
            self.releasable.push((self.store[leader].key(), told.at));
        }
    }

    pub(crate) fn tell_group_exit(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        let members = &self.store[group];
        let Some(leader) = members.leader() else { return };
        if self.store[leader].state() < TaskState::Zombie {
            return;
        }
        if members.is_dead() && !members.has(fact::EXIT_TOLD) {
            self.store[group].set(fact::EXIT_TOLD, true);
            let usage = self.store.group_usage(group);
            self.tell(out, leader, Told { hook: None, ..told }, Action::GroupExited { usage });
        }
    }
}
