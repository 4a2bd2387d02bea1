//! `release_task()`: the tid is free, and the release of a leader ends the process.

use std::sync::Arc;

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect, Reaper};
use crate::model::event_context::EventContext;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use crate::model::id::Ktime;
use crate::model::kinds::{Hook, Provenance, ReaperKind};
use crate::model::life::End;
use crate::model::record::{ReleaseSource, Released};
use crate::model::task::TaskState;
use crate::store::reaping::Reaping;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    pub(crate) fn on_released(&mut self, at: Ktime, released: &Released, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(
            EventContext { at, provenance: Provenance::Observed, hook: Some(Hook::Release(released.source)) },
            out,
        );
        self.reconcile.sees_releases |= released.source == ReleaseSource::Entry;
        if released.de_thread {
            self.take_over_at_release(released, t);
        }
        if self.is_end_of_unknown_thread(released.task) {
            self.add_released_unseen(released.task, at);
            return;
        }
        let Some((ix, group)) = self.resolve_or_create(released.task, t) else { return };
        self.store.set_seen_running(ix, at);
        let is_leader = self.store[group].leader() == Some(ix);
        if is_leader {
            if released.source == ReleaseSource::Free {
                if self.store[group].has(fact::FREED) {
                    self.stats.duplicate += 1;
                    return;
                }
                if !self.learn_parent_at_free(group, released.parent, t) {
                    return;
                }
                if self
                    .store
                    .members(group)
                    .any(|task| self.store[task].state() == TaskState::Exiting && task != ix)
                {
                    self.store[group].set(fact::FREED, true);
                    self.reconcile.freed_leaders.push_back((at, released.task.key));
                    return;
                }
            } else {
                // A task that releases itself was not reparented before, whatever parent its record shows.
                let by_itself = released.by.is_some_and(|by| by.key == released.task.key);
                if by_itself {
                    self.cancel_pending_reparent(group);
                }
                let parent =
                    released.parent.filter(|parent| !by_itself && self.store.find(parent.key).is_some());
                if self.learn_parent(group, parent, t).is_none() {
                    return;
                }
            }
            // The kernel releases a leader only as the last of its group.
            self.end_threads(group, ix, t);
            self.store[group].set(fact::SOLE, true);
        }
        self.release(ix, group, released, t);
    }

    fn release(&mut self, ix: Ix<Task>, group: Ix<Group>, released: &Released, t: &mut Transition<'_>) {
        let is_leader = self.store[group].leader() == Some(ix);
        let reaper = self.reaper_of(group, released);
        let goes_by_itself = match &reaper {
            Some(reaper) => reaper.kind == ReaperKind::Itself,
            None => self.goes_by_itself(ix, group),
        };
        self.reparent_children(ix, None, t);
        if self.store[ix].state() < TaskState::Zombie {
            self.learn_exit_signal_once(ix, group, released.exit_signal);
            let second_turn = released.source == ReleaseSource::SecondTurn;
            let death = Death {
                exit_state: Some(if goes_by_itself && !second_turn { EXIT_DEAD } else { EXIT_ZOMBIE }),
                second_turn,
                exit: released.exit,
                task_flags: released.task_flags,
                tracer: released.tracer.flatten(),
                seen_late: true,
                ..Death::default()
            };
            self.die(ix, &death, t);
        }
        self.emit_end(ix, group, reaper, goes_by_itself, t);
        let is_known = is_leader || released.by.is_some();
        self.emit_released(ix, reaper.filter(|_| is_known && !goes_by_itself), t);
    }

    /// Emits which process reaped a task, or that it was autoreaped.
    fn emit_end(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        reaper: Option<Reaper>,
        goes_by_itself: bool,
        t: &mut Transition<'_>,
    ) {
        // For an old leader, the exec of the thread that replaced it has emitted the end.
        if self.store[ix].knows(known::END_EMITTED) {
            return;
        }
        match reaper {
            _ if goes_by_itself => {
                let t = &mut t.with(if reaper.is_some() { t.ctx } else { t.ctx.inferred() });
                self.autoreaped(ix, group, t);
            }
            Some(_) => self.reaped(ix, group, reaper, t),
            None => self.reaped_by_rule(ix, group, &mut t.inferred()),
        }
    }

    /// Releases leaders whose RCU callback arrived before the last switch of a thread, once the last switch has arrived.
    pub(crate) fn release_after_rcu(&mut self, out: &mut Vec<Effect>) {
        while let Some((key, at)) = self.reconcile.releasable_leaders.pop() {
            let Some(leader) = self.store.find(key) else { continue };
            let Some(group) = self.store[leader].group().filter(|&group| self.store[group].has(fact::FREED))
            else {
                continue;
            };
            if self
                .store
                .members(group)
                .any(|task| task != leader && self.store[task].state() < TaskState::Dead)
            {
                continue;
            }
            let hook = Some(Hook::Release(ReleaseSource::Free));
            let t = &mut Transition::new(EventContext { at, provenance: Provenance::Observed, hook }, out);
            self.store[group].set(fact::FREED, false);
            self.end_threads(group, leader, t);
            self.store[group].set(fact::SOLE, true);
            self.reparent_children(leader, None, t);
            let goes_by_itself = self.goes_by_itself(leader, group);
            self.emit_end(leader, group, None, goes_by_itself, t);
            self.emit_released(leader, None, t);
        }
    }

    /// Whether a task without a reaper in its record was autoreaped: a thread always, a leader if it never was a zombie.
    fn goes_by_itself(&self, ix: Ix<Task>, group: Ix<Group>) -> bool {
        let task = &self.store[ix];
        if task.state() == TaskState::Zombie {
            return task.queue() == Queue::Candidate && self.would_autoreap(group) == Some(true);
        }
        self.store[group].leader() != Some(ix) || self.would_autoreap(group) == Some(true)
    }

    /// Handles a task that was autoreaped.
    pub(crate) fn autoreaped(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        self.store[ix].known |= known::END_EMITTED;
        if self.store[group].leader() == Some(ix) {
            let ended_at = self.store.ended_at(group);
            self.store.set_reaping(group, Reaping { ended_at, at: Some(t.ctx.at), ..Reaping::default() });
            self.store.clear_zombie(group);
            self.store.set_dead_leader(group, false);
            self.store[group].set_end(End::Autoreaped);
            if let Some(parents) = self.store.parents_of(group) {
                self.store.debt(parents).autoreaped += 1;
            }
            self.charge_parent(group, None, false);
        }
        self.emit(t, ix, Action::Autoreaped);
    }

    /// Handles a task that was reaped.
    fn reaped(&mut self, ix: Ix<Task>, group: Ix<Group>, reaper: Option<Reaper>, t: &mut Transition<'_>) {
        self.store[ix].known |= known::END_EMITTED;
        let ended_at = self.store.ended_at(group);
        let mut zombie = None;
        if self.store[group].leader() == Some(ix) {
            if self.store[ix].queue() == Queue::Candidate {
                self.settle_candidate(ix, t.out);
            }
            if self.store[group].has(fact::ZOMBIE) {
                zombie = Some(self.zombie_span(ix, t.ctx.at));
            }
            self.store.clear_zombie(group);
            self.store.set_dead_leader(group, false);
            self.store[group].set_end(End::Reaped);
            self.store.set_reaping(group, Reaping { reaper, zombie, ended_at, at: Some(t.ctx.at) });
            if let Some(parents) = self.store.parents_of(group) {
                self.store.debt(parents).reap(zombie);
                if reaper.is_none_or(|reaper| reaper.task.is_none()) {
                    let start = self.store[group].key().start;
                    self.store.note_taken_before_exec(parents, start, t.ctx.at);
                }
            }
            let by_wait = reaper.is_none_or(|reaper| reaper.kind.charges_the_parent());
            self.charge_parent(group, reaper.filter(|_| by_wait).map(|reaper| reaper.process.tgid), by_wait);
        }
        self.emit(t, ix, Action::Reaped { reaper, zombie });
    }

    /// Concludes that the parent reaped it; the exact time is not known.
    pub(crate) fn reaped_by_rule(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        if !self.store[group].has(fact::ZOMBIE_OLDER) {
            self.store[group].set(fact::ZOMBIE_YOUNGER, true);
        }
        let reaper = if self.store[group].leader() == Some(ix) { self.reaper_by_rule(group) } else { None };
        self.reaped(ix, group, reaper, t);
    }

    /// Removes a task, and the group with its leader.
    pub(crate) fn emit_released(&mut self, ix: Ix<Task>, reaper: Option<Reaper>, t: &mut Transition<'_>) {
        let Some(group) = self.store[ix].group() else { return };
        let is_leader = self.store[group].leader() == Some(ix);
        if is_leader {
            self.end_threads(group, ix, t);
            self.store.clear_zombie(group);
            self.store.set_dead_leader(group, false);
        }
        self.store.set_state(ix, TaskState::Released, t.ctx.at);
        let has_group_facts = is_leader && self.builds_effects_of(group);
        let usage = if has_group_facts { self.store.group_usage(group) } else { None };
        let children_usage =
            if has_group_facts { self.store.children_usage(group).map(Box::new) } else { None };
        let life = if has_group_facts && self.config.reports_lives {
            self.life_of_group(group, t.ctx.at)
        } else {
            None
        };
        let life = life.map(Arc::new);
        self.emit(t, ix, Action::Released { reaper, usage, children_usage, life });
        if is_leader {
            self.forget_arguments(self.store[group].key());
            self.remember_exited(group, t.ctx.at);
        } else {
            self.store.unlink_thread(ix);
            self.after_task_death(group, t);
        }
        self.store.enqueue(ix, Queue::Tombstone);
    }

    /// Handles the removal of the group's last task.
    fn remember_exited(&mut self, group: Ix<Group>, at: Ktime) {
        let key = self.store[group].key();
        let is_remembered = key.tgid.0 != 0 && self.config.dead_lives > 0;
        let exited = if is_remembered { self.exited_process(group, at) } else { None };
        if key.tgid.0 != 0 && exited.is_none() {
            self.forget_at_once(at);
        }
        let held = self.store.remove_group(group);
        match exited {
            Some(exited) => self.remember(exited.with(held)),
            None => self.store.release_held(held.profile, held.usage),
        }
    }
}
