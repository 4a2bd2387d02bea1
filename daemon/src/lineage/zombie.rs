//! Zombies: only a wait(2) is missing. And what a tick finds to have taken too long.

use std::time::Duration;

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Bound, Effect, Provenance, Span};
use super::group::{Group, fact};
use super::id::Ktime;
use super::task::{Queue, Task, TaskState};
use super::view::Told;

/// How long the `release_task()` that released a group's last thread may take to release its dead leader too, where nobody
/// waits for that one. Until then the leader is not called a zombie.
const SECOND_TURN: Duration = Duration::from_millis(10);

impl Lineage {
    /// A leader is a zombie once it is the only task of its group.
    pub(super) fn zombie_may_begin(&mut self, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        let members = &self.groups[group];
        let Some(leader) = members.leader else { return };
        if self.tasks[leader].state != TaskState::Zombie || !members.is_sole() || members.has(fact::ZOMBIE) {
            return;
        }
        if members.has(fact::LEADER_DIED) {
            if self.tasks[leader].queue != Queue::Candidate {
                self.tasks[leader].since = told.at;
                self.queues.put(&mut self.tasks, leader, Queue::Candidate);
            }
            return;
        }
        self.zombie_begins(leader, told, out);
    }

    pub(super) fn zombie_begins(&mut self, leader: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[leader].group else { return };
        if self.groups[group].has(fact::ZOMBIE) {
            return;
        }
        self.groups[group].set(fact::ZOMBIE, true);
        if told.provenance == Provenance::Snapshot || told.provenance == Provenance::Repaired {
            self.groups[group].set(fact::ZOMBIE_OLDER, true);
        }
        self.queues.put(&mut self.tasks, leader, Queue::Zombie);
        if let Some(parents) = self.groups[group].parent.and_then(|parent| self.tasks[parent].group) {
            self.debt(parents).zombies += 1;
        }
        let tracer = self.groups[group].rare.and_then(|rare| self.rares[rare].tracer);
        self.tell(out, leader, told, Action::ZombieBegan { tracer });
    }

    /// It was none after all: a thread lives, or another took the leader's place.
    pub(super) fn take_back_zombie(&mut self, group: Ix<Group>) {
        let Some(leader) = self.groups[group].leader else { return };
        if matches!(self.tasks[leader].queue, Queue::Candidate | Queue::Zombie | Queue::Flagged) {
            self.queues.take(&mut self.tasks, leader);
        }
        self.end_zombie(group);
    }

    /// Closes the parent's account of this zombie.
    pub(super) fn end_zombie(&mut self, group: Ix<Group>) {
        if !self.groups[group].has(fact::ZOMBIE) {
            return;
        }
        self.groups[group].set(fact::ZOMBIE, false);
        let parents = self.groups[group].parent.and_then(|parent| self.tasks[parent].group);
        if let Some(debt) = parents.and_then(|parents| self.groups[parents].debt) {
            self.debts[debt].zombies = self.debts[debt].zombies.saturating_sub(1);
        }
    }

    /// For how long a leader has been a zombie.
    pub(super) fn zombie_span(&self, leader: Ix<Task>, at: Ktime) -> Span {
        let task = &self.tasks[leader];
        let bound = match task.group.map(|group| &self.groups[group]) {
            Some(group) if group.has(fact::ZOMBIE_YOUNGER) => Bound::AtMost,
            Some(group) if group.has(fact::ZOMBIE_OLDER) => Bound::AtLeast,
            _ => Bound::Exact,
        };
        Span { ns: at.since(task.since), bound }
    }

    /// What time alone brings about: zombies and exits that take too long, and the end of what was only kept for late records.
    pub fn tick(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        self.release_held_back(now, out);
        self.settle_candidates(now, out);
        while let Some(leader) = self.front(Queue::Zombie, now, self.config.zombie_after) {
            let zombie = self.zombie_span(leader, now);
            self.queues.put(&mut self.tasks, leader, Queue::Flagged);
            let parent = self.tasks[leader].group.and_then(|group| self.groups[group].parent);
            let parent_name = parent.and_then(|parent| self.process_name(parent));
            let told = Told { at: now, provenance: Provenance::Observed, hook: None };
            self.tell(out, leader, told, Action::ZombieFlagged { zombie, parent_name });
        }
        while let Some(ix) = self.front(Queue::Exiting, now, self.config.exit_stuck_after) {
            self.queues.take(&mut self.tasks, ix);
            let stuck_ns = now.since(self.tasks[ix].since);
            self.tell(out, ix, Told::observed(now), Action::ExitStuck { stuck_ns });
        }
        self.expire(now, usize::MAX, out);
    }

    /// A dead leader that no second turn released is a zombie.
    pub(super) fn settle_candidates(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        while let Some(leader) = self.front(Queue::Candidate, now, SECOND_TURN) {
            let told = Told::observed(self.tasks[leader].since);
            self.zombie_begins(leader, told, out);
        }
    }

    /// First of a queue, if it has stood there for so long.
    pub(super) fn front(&self, queue: Queue, now: Ktime, after: Duration) -> Option<Ix<Task>> {
        self.queues
            .ends(queue)
            .first
            .filter(|&ix| u128::from(now.since(self.tasks[ix].since)) >= after.as_nanos())
    }
}
