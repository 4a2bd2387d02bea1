//! What the death of one task means for its group: a dead leader, a dead group, a zombie.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::action_kind::ActionKind;
use crate::model::effect::{Action, Provenance};
use crate::model::status::GroupStatus;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Handles a leader that died before other tasks of its group.
    pub(crate) fn leader_died(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        self.store.extra(group).set_leader_died_at(t.ctx.at);
        self.store.set_dead_leader(group, true);
        self.store[group].set(fact::LEADER_DIED, true);
        // In a group exit (exit_group(2) or a fatal signal) the other tasks die too, in any order.
        let members = &self.store[group];
        let threads_left = self.store.live(members);
        if threads_left > 0 && !matches!(members.status(), GroupStatus::Group(_)) {
            self.emit(t, ix, Action::LeaderDied { threads_left });
        }
    }

    /// Updates a group after one of its tasks died or was released.
    pub(crate) fn after_task_death(&mut self, group: Ix<Group>, t: &mut Transition<'_>) {
        self.emit_group_exit(group, t);
        self.begin_zombie_if_due(group, t);
        // The caller still uses this group, so it must not be removed here.
        if self.store[group].has(fact::FREED)
            && let Some(leader) = self.store[group].leader()
        {
            self.reconcile.releasable_leaders.push((self.store[leader].key(), t.ctx.at));
        }
    }

    pub(crate) fn emit_group_exit(&mut self, group: Ix<Group>, t: &mut Transition<'_>) {
        let members = &self.store[group];
        let Some(leader) = members.leader() else { return };
        if self.store[leader].state() < TaskState::Zombie {
            return;
        }
        if members.is_dead() && !members.has(fact::EXIT_EMITTED) {
            self.store[group].set(fact::EXIT_EMITTED, true);
            self.store.set_group_exit(group, t.ctx.at);
            let may_be_built = self.builds_effects_of(group) || self.wanted.may_have(ActionKind::GroupExited);
            let usage = if may_be_built { self.store.group_usage(group) } else { None };
            let death = self.group_death(group, t.ctx.at);
            let died = death.clone();
            let members = &self.store[group];
            let is_timed = members.execs > 0 && t.ctx.provenance == Provenance::Observed;
            let since_exec_ns = is_timed.then(|| t.ctx.at.since(members.exec_at));
            let action = Action::GroupExited { usage, death, since_exec_ns };
            self.emit(&mut t.with(t.ctx.without_hook()), leader, action);
            self.after_group_end_in_scope(group, died.as_ref(), t);
        }
    }
}
