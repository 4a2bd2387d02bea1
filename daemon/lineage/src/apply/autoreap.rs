//! Decides whether a dead leader becomes a zombie. Concludes how a leader ended if it was released before a record showed its
//! end.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE, SIGCHLD};
use crate::model::kinds::Provenance;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Handles a leader that is already `EXIT_DEAD` at its last switch: either it was autoreaped, or it was a zombie for a moment
    /// and a wait(2) reaped it. `do_notify_parent()` decides by the exit signal and by the parent's disposition of `SIGCHLD`.
    pub(crate) fn die_before_final_switch(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        death: Death,
        t: &mut Transition<'_>,
    ) {
        let goes_by_itself = self.would_autoreap(group);
        // If the parent's disposition is not known, assume that the parent waited, as most do, and mark the effect as inferred.
        let is_certain = match goes_by_itself {
            // A leader with threads may have died before them: `release_task()` of the last thread then released it.
            Some(true) => !self.had_threads(group) && !self.store[group].has(fact::IGNORED_LATER),
            Some(false) => !self.store[group].has(fact::IGNORED_LATER),
            None => false,
        };
        let exit_ctx = if is_certain { t.ctx } else { t.ctx.inferred() };
        if goes_by_itself == Some(true) {
            self.die_autoreaped(ix, group, death, &mut t.with(exit_ctx));
            return;
        }
        self.die_and_be_reaped(ix, group, death, &mut t.with(exit_ctx));
    }

    /// Emits that a leader was autoreaped before this record.
    pub(crate) fn die_autoreaped(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        death: Death,
        t: &mut Transition<'_>,
    ) {
        // The kernel autoreaps a leader only when its group has no other task.
        self.store[group].set(fact::SOLE, true);
        self.die(ix, &Death { exit_state: Some(EXIT_DEAD), ..death }, t);
        self.autoreaped(ix, group, t);
    }

    /// Does the same for a leader that may have died before its last thread, and was released together with it.
    pub(crate) fn autoreap_late(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        if self.store[ix].state() < TaskState::Zombie {
            self.die_autoreaped(ix, group, Death::default(), t);
            return;
        }
        self.store[group].set(fact::SOLE, true);
        self.emit_group_exit(group, t);
        self.autoreaped(ix, group, t);
        self.store.set_state(ix, TaskState::Dead, t.ctx.at);
        self.store.enqueue(ix, Queue::Dead);
    }

    /// Emits that a leader became a zombie and its parent reaped it, both before this record.
    pub(crate) fn die_and_be_reaped(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        death: Death,
        t: &mut Transition<'_>,
    ) {
        self.store[group].set(fact::SOLE, true);
        if self.store[ix].state() < TaskState::Zombie {
            let zombie = Death { exit_state: Some(EXIT_ZOMBIE), seen_late: true, ..death };
            self.die(ix, &zombie, t);
        } else {
            self.after_task_death(group, t);
        }
        let t = &mut t.with(if t.ctx.provenance == Provenance::Observed { t.ctx.inferred() } else { t.ctx });
        self.reaped_by_rule(ix, group, t);
        self.store.set_state(ix, TaskState::Dead, t.ctx.at);
        self.store.enqueue(ix, Queue::Dead);
    }

    pub(crate) fn had_threads(&self, group: Ix<Group>) -> bool {
        self.store.extra_of(&self.store[group]).is_some_and(|extra| extra.threads_created > 0)
    }

    /// Whether the leader is autoreaped when its group ends; `None` if this is not known.
    pub(crate) fn would_autoreap(&self, group: Ix<Group>) -> Option<bool> {
        let members = &self.store[group];
        if self.never_autoreaps(group) {
            return Some(false);
        }
        if members.has(fact::IGNORED_KNOWN) {
            return Some(members.has(fact::IGNORED));
        }
        let parents = &self.store[self.store.parents_of(group)?];
        parents.has(fact::IGNORES_KNOWN).then_some(parents.has(fact::IGNORES))
    }

    /// Only an ignored `SIGCHLD` makes the kernel autoreap, and only if the task is not traced (`do_notify_parent()`).
    pub(crate) fn never_autoreaps(&self, group: Ix<Group>) -> bool {
        let members = &self.store[group];
        let is_traced = self.store.rare_of(members).is_some_and(|rare| rare.tracer.is_some());
        is_traced || self.has_other_exit_signal(group)
    }

    pub(crate) fn has_other_exit_signal(&self, group: Ix<Group>) -> bool {
        self.store[group].has(fact::EXIT_SIGNAL) && self.store[group].exit_signal() != SIGCHLD
    }
}
