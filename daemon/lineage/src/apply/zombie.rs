//! Marks dead leaders as zombies, and flags zombies and exits that a tick finds overdue.

use std::time::Duration;

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::id::{Ktime, Tid};
use crate::model::kinds::{Bound, Provenance, Span};
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

/// The time within which the `release_task()` of a group's last thread also releases the dead leader. Until then the leader is
/// not a zombie. If the parent is known to ignore `SIGCHLD`, the release must come; then [`SECOND_TURN_DUE`] applies, because a
/// virtual CPU can be stopped for long between the two releases.
const SECOND_TURN: Duration = Duration::from_millis(10);
const SECOND_TURN_DUE: Duration = Duration::from_secs(5);

impl Lineage {
    /// Marks a leader as a zombie if it is the only task left in its group.
    pub(crate) fn begin_zombie_if_due(&mut self, group: Ix<Group>, t: &mut Transition<'_>) {
        let members = &self.store[group];
        let Some(leader) = members.leader() else { return };
        if self.store[leader].state() != TaskState::Zombie || !members.is_sole() {
            return;
        }
        let was_dead_leader = members.has(fact::DEAD_LEADER);
        self.store.set_dead_leader(group, false);
        if self.store[group].has(fact::ZOMBIE) || self.store[leader].queue() == Queue::Candidate {
            return;
        }
        if was_dead_leader {
            self.store[leader].since = t.ctx.at;
            // The parent may have changed its SIGCHLD disposition since it adopted the group; the RCU callback will show the end.
            // A thread that the kernel counted when the leader died, and that no record has shown, may still live.
            let members = &self.store[group];
            let hidden = self.store.hidden_threads(members);
            let is_certain = !members.has(fact::IGNORED_LATER) && hidden.is_none_or(|hidden| hidden == 0);
            match self.would_autoreap(group) {
                Some(true) if t.ctx.is_by_tracepoint() && is_certain => {
                    self.autoreaped(leader, group, &mut t.inferred());
                    self.store.set_state(leader, TaskState::Dead, t.ctx.at);
                    self.store.enqueue(leader, Queue::Dead);
                    return;
                }
                // The dispositions of parent and tracer may be outdated. If releases are reported, the record of the second turn
                // decides.
                Some(false) if t.ctx.is_by_tracepoint() || self.has_other_exit_signal(group) => {}
                _ => {
                    self.store.enqueue(leader, Queue::Candidate);
                    return;
                }
            }
        }
        self.emit_zombie_began(leader, group, t);
    }

    pub(crate) fn emit_zombie_began(&mut self, leader: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        let is_older = matches!(t.ctx.provenance, Provenance::Snapshot | Provenance::Repaired);
        let is_confirmed = self.is_after_losses(t.ctx.at);
        self.store.set_zombie(leader, group, is_older, is_confirmed);
        let tracer = self.store.rare_of(&self.store[group]).and_then(|rare| rare.tracer);
        self.emit(&mut t.with(t.ctx.without_hook()), leader, Action::ZombieBegan { tracer });
    }

    /// Handles a snapshot that shows a dead leader without other threads: it is a zombie, and all its threads have ended.
    pub(crate) fn became_only_task(&mut self, leader: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        if self.store[leader].state() != TaskState::Zombie {
            return;
        }
        self.store[group].set(fact::SOLE, true);
        if self.store[group].has(fact::DEAD_LEADER) {
            self.store.set_dead_leader(group, false);
            self.store[leader].since = t.ctx.at;
            self.after_task_death(group, t);
        }
    }

    /// Returns for how long a leader has been a zombie.
    pub(crate) fn zombie_span(&self, leader: Ix<Task>, at: Ktime) -> Span {
        let task = &self.store[leader];
        let bound = match task.group().map(|group| &self.store[group]) {
            Some(group) if group.has(fact::ZOMBIE_OLDER) => Bound::AtLeast,
            Some(group) if group.has(fact::ZOMBIE_YOUNGER) => Bound::AtMost,
            _ => Bound::Exact,
        };
        Span { ns: at.since(task.since), bound }
    }

    /// Handles what depends on time alone: overdue zombies and exits, and the end of state that was kept for late records.
    pub fn tick(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        self.tick_flagging(now, usize::MAX, out);
    }

    /// Does the same, but flags only the first `most` zombies of [`Lineage::zombies_due`].
    pub fn tick_flagging(&mut self, now: Ktime, most: usize, out: &mut Vec<Effect>) {
        let from = out.len();
        self.give_up_args(now, out);
        let store = &self.store;
        self.deaths.forget_old(now, |tgid| {
            let group = store.find_current(Tid(tgid)).and_then(|leader| store[leader].group());
            group.is_some_and(|group| !store[group].has(fact::EXIT_EMITTED))
        });
        self.give_up_scopes(now, out);
        if !self.is_in_snapshot() {
            self.decide_zombies(out);
        }
        self.settle_candidates(now, out);
        self.confirm_pending_reparents(now, out);
        for _ in 0..most {
            let Some(leader) = self.front(Queue::Zombie, now, self.config.zombie_after) else { break };
            let zombie = self.zombie_span(leader, now);
            self.store.enqueue(leader, Queue::Flagged);
            let group = self.store[leader].group();
            let parent_name = group.and_then(|group| self.emitted_parent_name(&self.store[group]));
            self.emit(
                &mut Transition::new(EventContext::observed(now), out),
                leader,
                Action::ZombieFlagged { zombie, parent_name },
            );
        }
        while let Some(ix) = self.front(Queue::Exiting, now, self.config.exit_stuck_after) {
            self.store.enqueue(ix, Queue::Stuck);
            let stuck_ns = now.since(self.store[ix].since);
            self.emit(
                &mut Transition::new(EventContext::observed(now), out),
                ix,
                Action::ExitStuck { stuck_ns },
            );
        }
        self.expire(now, usize::MAX, out);
        self.finish(from, out);
    }

    /// Marks dead leaders as zombies if no second turn released them; they are zombies since the release of their last thread.
    fn settle_candidates(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        let mut next = self.store.queue_ends(Queue::Candidate).first;
        while let Some(leader) = next {
            let task = &self.store[leader];
            next = task.queue_next();
            let is_due = task.group().is_some_and(|group| self.would_autoreap(group) == Some(true));
            let settle_after = if is_due { SECOND_TURN_DUE } else { SECOND_TURN };
            if u128::from(now.since(task.since)) >= settle_after.as_nanos() {
                self.settle_candidate(leader, out);
            }
        }
    }

    pub(crate) fn settle_candidate(&mut self, leader: Ix<Task>, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(self.store[leader].since), out);
        match self.store[leader].group() {
            Some(group) => self.emit_zombie_began(leader, group, t),
            None => self.store.dequeue(leader),
        }
    }

    /// Returns the first task of a queue if it has been in the queue for at least `after`.
    pub(crate) fn front(&self, queue: Queue, now: Ktime, after: Duration) -> Option<Ix<Task>> {
        let is_due = |ix: &Ix<Task>| u128::from(now.since(self.store[*ix].since)) >= after.as_nanos();
        self.store.queue_ends(queue).first.filter(is_due)
    }
}
