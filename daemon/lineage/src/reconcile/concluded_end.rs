//! Concludes the ends of tasks that no record shows, from later records or from elapsed time.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::flags::EXIT_DEAD;
use crate::model::id::Ktime;
use crate::model::kinds::Provenance;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Ends threads that have no release record when their leader is released: the kernel releases the leader last.
    pub(crate) fn end_threads(&mut self, group: Ix<Group>, leader: Ix<Task>, t: &mut Transition<'_>) {
        let mut next = self.store.first_thread(group);
        while let Some(ix) = next {
            next = self.store[ix].thread_next();
            if ix != leader {
                if self.store[ix].state() < TaskState::Dead {
                    self.stats.concluded += 1;
                }
                self.end_unseen(ix, t);
            }
        }
    }

    /// Ends a task whose end is certain although no record shows it.
    pub(crate) fn end_unseen(&mut self, ix: Ix<Task>, t: &mut Transition<'_>) {
        let Some(group) = self.store[ix].group() else { return };
        let t = &mut t.with(if t.ctx.provenance == Provenance::Repaired { t.ctx } else { t.ctx.inferred() });
        let is_leader = self.store[group].leader() == Some(ix);
        if is_leader {
            self.store[group].set(fact::SOLE, true);
        } else if self.store[ix].first_child().is_some() {
            self.store.rare(group).children_by_rule = true;
        }
        self.reparent_children(ix, None, t);
        match self.store[ix].state() {
            // A record shows that its exit began; the rule of do_notify_parent() decides how the exit ended.
            TaskState::Exiting if is_leader && self.would_autoreap(group) != Some(true) => {
                self.die_and_be_reaped(ix, group, Death::default(), t);
            }
            TaskState::Exiting if is_leader => {
                self.die(ix, &Death { exit_state: Some(EXIT_DEAD), ..Death::default() }, t);
                self.autoreaped(ix, group, t);
            }
            TaskState::Implied | TaskState::Running | TaskState::Exiting => {
                // A thread that is not the leader is released without a wait.
                let exit_state = if is_leader { None } else { Some(EXIT_DEAD) };
                self.die(ix, &Death { exit_state, ..Death::default() }, t);
            }
            TaskState::Zombie => self.reaped_by_rule(ix, group, t),
            TaskState::Dead | TaskState::Released => {}
        }
        if !is_leader && !self.store[ix].knows(known::END_EMITTED) {
            self.autoreaped(ix, group, t);
        }
        self.emit_released(ix, None, t);
    }

    /// Removes what was kept for late records only: tombstones, exited processes, and dead tasks whose release record was lost.
    #[inline]
    pub(crate) fn expire(&mut self, now: Ktime, most: usize, out: &mut Vec<Effect>) {
        if self.has_expired(now) {
            self.expire_some(now, most, out);
        }
    }

    /// Whether there is anything to remove. For most records there is nothing.
    fn has_expired(&self, now: Ktime) -> bool {
        self.front(Queue::Dead, now, self.config.dead_after).is_some()
            || self.store.queue_ends(Queue::Tombstone).len > self.config.tombstones
            || self.front(Queue::Tombstone, now, self.config.tombstone).is_some()
            || !self.reconcile.freed_leaders.is_empty()
            || self.has_old_life(self.lives_kept_since(now))
    }

    /// Returns the time before which ended processes are forgotten.
    fn lives_kept_since(&self, now: Ktime) -> Ktime {
        let age = u64::try_from(self.config.dead_lives_age.as_nanos()).unwrap_or(u64::MAX);
        Ktime(now.0.saturating_sub(age))
    }

    #[inline(never)]
    fn expire_some(&mut self, now: Ktime, most: usize, out: &mut Vec<Effect>) {
        for _ in 0..most {
            let Some(ix) = self.front(Queue::Dead, now, self.config.dead_after) else { break };
            self.stats.concluded += 1;
            self.end_unseen(ix, &mut Transition::new(EventContext::observed(now), out));
        }
        for _ in 0..most {
            let stones = self.store.queue_ends(Queue::Tombstone);
            let oldest = if stones.len > self.config.tombstones {
                stones.first
            } else {
                self.front(Queue::Tombstone, now, self.config.tombstone)
            };
            let Some(ix) = oldest else { break };
            self.forget(ix);
        }
        while let Some(&(at, key)) = self.reconcile.freed_leaders.front() {
            if u128::from(now.since(at)) < self.config.dead_after.as_nanos() {
                break;
            }
            self.reconcile.freed_leaders.pop_front();
            let leader = self.store.find(key);
            let group = leader.and_then(|leader| self.store[leader].group());
            if let (Some(leader), Some(true)) =
                (leader, group.map(|group| self.store[group].has(fact::FREED)))
            {
                self.stats.concluded += 1;
                self.end_unseen(leader, &mut Transition::new(EventContext::observed(now), out));
            }
        }
        self.forget_lives(self.lives_kept_since(now), most);
    }
}
