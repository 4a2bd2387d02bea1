//! Zombies: only a wait(2) is missing. And what a tick finds to have taken too long.

use std::time::Duration;

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Bound, Effect, Provenance, Span};
use super::group::{Group, fact};
use super::id::Ktime;
use super::task::{Queue, Task, TaskState};
use super::view::Told;

/// How long the `release_task()` that released a group's last thread may take to release its dead leader too. Until then the
/// leader is not called a zombie. A virtual CPU can stand still in between for longer than anyone would wait, so where the parent
/// is known to ignore `SIGCHLD`, and the release must come, it gets the long time.
const SECOND_TURN: Duration = Duration::from_millis(10);
const SECOND_TURN_DUE: Duration = Duration::from_secs(5);

impl Lineage {
    /// A leader is a zombie once it is the only task of its group.
    pub(super) fn zombie_may_begin(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        let members = &self.groups[group];
        let Some(leader) = members.leader else { return };
        if self.tasks[leader].state != TaskState::Zombie || !members.is_sole() {
            return;
        }
        let was_dead_leader = members.has(fact::DEAD_LEADER);
        self.set_dead_leader(group, false);
        if self.groups[group].has(fact::ZOMBIE) || self.tasks[leader].queue == Queue::Candidate {
            return;
        }
        if was_dead_leader {
            self.tasks[leader].since = told.at;
            // What a parent did about SIGCHLD before the group came to it, it may do no more: the RCU callback will tell.
            // And a thread that the kernel counted when the leader died, and that nobody has seen, may live on.
            let members = &self.groups[group];
            let hidden = self.hidden_threads(members);
            let is_certain = !members.has(fact::IGNORED_SINCE) && hidden.is_none_or(|hidden| hidden == 0);
            match self.would_autoreap(group) {
                Some(true) if told.is_by_tracepoint() && is_certain => {
                    self.autoreaped(leader, group, told.inferred(), out);
                    self.enter(leader, TaskState::Dead, told.at);
                    self.queues.put(&mut self.tasks, leader, Queue::Dead);
                    return;
                }
                // What parent and tracer do was read a while ago; where it is seen, the second turn itself tells.
                Some(false) if told.is_by_tracepoint() || self.has_other_exit_signal(group) => {}
                _ => {
                    self.queues.put(&mut self.tasks, leader, Queue::Candidate);
                    return;
                }
            }
        }
        self.zombie_begins(leader, group, told, out);
    }

    pub(super) fn zombie_begins(
        &mut self,
        leader: Ix<Task>,
        group: Ix<Group>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        self.groups[group].set(fact::ZOMBIE, true);
        if matches!(told.provenance, Provenance::Snapshot | Provenance::Repaired) {
            self.groups[group].set(fact::ZOMBIE_OLDER, true);
        }
        if self.is_after_losses(told.at) {
            self.queues.put(&mut self.tasks, leader, Queue::Zombie);
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).zombies += 1;
            }
        } else {
            self.groups[group].set(fact::UNCONFIRMED, true);
            self.queues.put(&mut self.tasks, leader, Queue::Unconfirmed);
        }
        let tracer = self.rare_of(&self.groups[group]).and_then(|rare| rare.tracer);
        self.tell(out, leader, Told { hook: None, ..told }, Action::ZombieBegan { tracer });
    }

    /// A dead leader is seen to be alone, and so a zombie: what there was of threads has gone, seen or not.
    pub(super) fn left_alone(
        &mut self,
        leader: Ix<Task>,
        group: Ix<Group>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        if self.tasks[leader].state != TaskState::Zombie {
            return;
        }
        self.groups[group].set(fact::SOLE, true);
        if self.groups[group].has(fact::DEAD_LEADER) {
            self.set_dead_leader(group, false);
            self.tasks[leader].since = told.at;
            self.after_a_death(group, told, out);
        }
    }

    /// It is none any more, or was none after all: it was taken, a thread lives, another took the leader's place.
    pub(super) fn take_back_zombie(&mut self, group: Ix<Group>) {
        let Some(leader) = self.groups[group].leader else { return };
        if matches!(
            self.tasks[leader].queue,
            Queue::Candidate | Queue::Zombie | Queue::Flagged | Queue::Unconfirmed
        ) {
            self.queues.take(&mut self.tasks, leader);
        }
        if self.groups[group].has(fact::ZOMBIE) {
            let was_owed_a_wait = self.groups[group].is_owed_a_wait();
            self.groups[group].set(fact::ZOMBIE | fact::ZOMBIE_OLDER | fact::ZOMBIE_YOUNGER, false);
            self.groups[group].set(fact::UNCONFIRMED | fact::FLAGGED, false);
            if let Some(parents) = self.parents_of(group).filter(|_| was_owed_a_wait) {
                self.debt(parents).zombies -= 1;
            }
        }
    }

    /// For how long a leader has been a zombie.
    pub(super) fn zombie_span(&self, leader: Ix<Task>, at: Ktime) -> Span {
        let task = &self.tasks[leader];
        let bound = match task.group.map(|group| &self.groups[group]) {
            Some(group) if group.has(fact::ZOMBIE_OLDER) => Bound::AtLeast,
            Some(group) if group.has(fact::ZOMBIE_YOUNGER) => Bound::AtMost,
            _ => Bound::Exact,
        };
        Span { ns: at.since(task.since), bound }
    }

    /// What time alone brings about: zombies and exits that take too long, and the end of what was kept for late records.
    pub fn tick(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        self.give_up_args(now, out);
        self.deaths.forget_old(now);
        if !self.is_in_snapshot() {
            self.judge(out);
        }
        self.settle_candidates(now, out);
        self.settle_handovers(now, out);
        while let Some(leader) = self.front(Queue::Zombie, now, self.config.zombie_after) {
            let zombie = self.zombie_span(leader, now);
            self.queues.put(&mut self.tasks, leader, Queue::Flagged);
            let parent = self.tasks[leader].group.and_then(|group| self.groups[group].parent);
            let parent_name = parent.and_then(|parent| self.process_name(parent));
            self.tell(out, leader, Told::observed(now), Action::ZombieFlagged { zombie, parent_name });
        }
        while let Some(ix) = self.front(Queue::Exiting, now, self.config.exit_stuck_after) {
            self.queues.put(&mut self.tasks, ix, Queue::Stuck);
            let stuck_ns = now.since(self.tasks[ix].since);
            self.tell(out, ix, Told::observed(now), Action::ExitStuck { stuck_ns });
        }
        self.expire(now, usize::MAX, out);
    }

    /// A dead leader that no second turn released is a zombie since its last thread went.
    fn settle_candidates(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        let mut next = self.queues.ends(Queue::Candidate).first;
        while let Some(leader) = next {
            let task = &self.tasks[leader];
            next = task.queue_next;
            let is_due = task.group.is_some_and(|group| self.would_autoreap(group) == Some(true));
            let patience = if is_due { SECOND_TURN_DUE } else { SECOND_TURN };
            if u128::from(now.since(task.since)) >= patience.as_nanos() {
                self.settle_candidate(leader, out);
            }
        }
    }

    pub(super) fn settle_candidate(&mut self, leader: Ix<Task>, out: &mut Vec<Effect>) {
        let told = Told::observed(self.tasks[leader].since);
        match self.tasks[leader].group {
            Some(group) => self.zombie_begins(leader, group, told, out),
            None => self.queues.take(&mut self.tasks, leader),
        }
    }

    /// First of a queue, if it has stood there for so long.
    pub(super) fn front(&self, queue: Queue, now: Ktime, after: Duration) -> Option<Ix<Task>> {
        let is_due = |ix: &Ix<Task>| u128::from(now.since(self.tasks[*ix].since)) >= after.as_nanos();
        self.queues.ends(queue).first.filter(is_due)
    }
}
