//! `release_task()`: a tid is free again, and a life may be over.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect, Hook, Provenance, Reaper, ReaperKind};
use super::exit::Death;
use super::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use super::group::{Group, fact};
use super::id::{Ktime, TaskKey, TaskRef};
use super::record::Released;
use super::task::{Queue, Task, TaskState, known};
use super::view::Told;

impl Lineage {
    pub(super) fn on_released(&mut self, at: Ktime, released: &Released, out: &mut Vec<Effect>) {
        let told = Told { at, provenance: Provenance::Observed, hook: Some(Hook::Release(released.source)) };
        if released.de_thread {
            self.take_over_at_release(released, told, out);
        }
        let Some(ix) = self.subject(released.task, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        let Some(group) = self.tasks[ix].group else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(ix, at);
        let is_leader = self.groups[group].leader == Some(ix);
        if is_leader {
            self.learn_parent(group, released.parent, told, out);
        }
        let reaper = self.reaper_of(ix, group, released);
        let is_autoreap = self.is_autoreap(ix, group, released, reaper.as_ref());
        if is_leader {
            // The kernel releases a leader only as the last of its group.
            self.groups[group].set(fact::SOLE, true);
        }
        self.hand_on_children(ix, None, told, out);
        if self.tasks[ix].state < TaskState::Zombie {
            let death = Death {
                exit_state: Some(if is_autoreap { EXIT_DEAD } else { EXIT_ZOMBIE }),
                exit: released.exit,
                task_flags: released.task_flags,
                tracer: released.tracer.flatten(),
                at_release: true,
                ..Death::default()
            };
            if is_leader && !self.groups[group].has(fact::EXIT_SIGNAL) {
                self.learn_exit_signal(group, released.exit_signal);
            }
            self.die(ix, &death, told, out);
        }
        let by_rule = if released.by.is_none() { told.inferred() } else { told };
        if !released.de_thread {
            if is_autoreap {
                self.autoreaped(ix, by_rule, out);
            } else {
                self.reaped(ix, group, reaper, by_rule, out);
            }
        }
        let reaper = if is_autoreap { None } else { reaper.filter(|_| released.by.is_some()) };
        self.depart(ix, reaper, told, out);
    }

    /// Nobody waits for it: by its own release, by one record's word, or by the rule where the kernel side cannot tell.
    fn is_autoreap(
        &self,
        ix: Ix<Task>,
        group: Ix<Group>,
        released: &Released,
        reaper: Option<&Reaper>,
    ) -> bool {
        if released.by.is_some() {
            return reaper.is_some_and(|reaper| reaper.kind == ReaperKind::Itself);
        }
        let task = &self.tasks[ix];
        if task.knows(known::AUTOREAP_TOLD) {
            return true;
        }
        match task.state {
            TaskState::Zombie => false,
            // Found dead at its final switch: a thread is always let go by itself, a leader by whoever usually does.
            _ => self.groups[group].leader != Some(ix),
        }
    }

    pub(super) fn autoreaped(&mut self, ix: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[ix].group else { return };
        if self.tasks[ix].knows(known::AUTOREAP_TOLD) {
            return;
        }
        self.tasks[ix].known |= known::AUTOREAP_TOLD;
        if self.is_leader(ix) {
            self.take_back_zombie(group);
            if let Some(parents) = self.groups[group].parent.and_then(|parent| self.tasks[parent].group) {
                self.debt(parents).autoreaped += 1;
            }
        }
        self.tell(out, ix, told, Action::Autoreaped);
    }

    fn reaped(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        reaper: Option<Reaper>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let is_leader = self.groups[group].leader == Some(ix);
        let mut zombie = None;
        if is_leader {
            if self.tasks[ix].queue == Queue::Candidate {
                let began = Told { at: self.tasks[ix].since, ..told };
                self.zombie_begins(ix, began, out);
            }
            if self.tasks[ix].state == TaskState::Zombie {
                zombie = Some(self.zombie_span(ix, told.at));
            }
            self.end_zombie(group);
            if let Some(parents) = self.groups[group].parent.and_then(|parent| self.tasks[parent].group) {
                self.debt(parents).reap(zombie.map(|zombie| zombie.ns));
            }
        }
        self.tell(out, ix, told, Action::Reaped { reaper, zombie });
    }

    /// A task is gone; with its leader the group is.
    pub(super) fn depart(&mut self, ix: Ix<Task>, reaper: Option<Reaper>, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[ix].group else { return };
        self.hand_on_children(ix, None, told, out);
        let is_leader = self.groups[group].leader == Some(ix);
        if is_leader {
            self.end_threads(group, ix, told, out);
        }
        self.leave(ix, TaskState::Released, told.at);
        if is_leader {
            self.take_back_zombie(group);
        }
        self.tell(out, ix, told, Action::Released { reaper });
        if is_leader {
            self.end_life(group, told);
        } else {
            self.part(ix);
            self.after_a_death(group, told, out);
        }
        self.queues.put(&mut self.tasks, ix, Queue::Tombstone);
    }

    /// Threads whose own release has not been told when their leader's is: the leader is always the last.
    fn end_threads(&mut self, group: Ix<Group>, leader: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        let mut next = self.groups[group].first_thread;
        while let Some(ix) = next {
            next = self.tasks[ix].thread_next;
            if ix != leader {
                if self.tasks[ix].state < TaskState::Dead {
                    self.stats.concluded += 1;
                }
                self.end_unseen(ix, told, out);
            }
        }
    }

    /// A task's end was not seen but is certain.
    pub(super) fn end_unseen(&mut self, ix: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        let told = if told.provenance == Provenance::Repaired { told } else { told.inferred() };
        self.hand_on_children(ix, None, told, out);
        if self.tasks[ix].state < TaskState::Zombie {
            let is_leader = self.is_leader(ix);
            let exit_state = Some(if is_leader { EXIT_ZOMBIE } else { EXIT_DEAD });
            if is_leader && let Some(group) = self.tasks[ix].group {
                self.groups[group].set(fact::SOLE, true);
            }
            self.die(ix, &Death { exit_state, at_release: true, ..Death::default() }, told, out);
        }
        self.depart(ix, None, told, out);
    }

    /// The group's last task is gone.
    fn end_life(&mut self, group: Ix<Group>, _told: Told) {
        self.orphan(group);
        while let Some(thread) = self.groups[group].first_thread {
            self.part(thread);
        }
        if self.groups[group].has(fact::SUBREAPER) {
            self.subreapers -= 1;
        }
        let gone = self.groups.remove(group);
        if gone.has(fact::NAMESPACE)
            && let Some(&init) = self.namespaces.get(&gone.namespace)
            && init == (TaskKey { tid: super::id::Tid(gone.tgid), start: gone.start })
        {
            self.namespaces.remove(&gone.namespace);
        }
        if let Some(rare) = gone.rare {
            self.rares.remove(rare);
        }
        if let Some(debt) = gone.debt {
            self.debts.remove(debt);
        }
    }

    /// The old leader is released by the thread that took its place: the first that is seen of it on the function rungs.
    fn take_over_at_release(&mut self, released: &Released, told: Told, out: &mut Vec<Effect>) {
        if self.find(released.task.key).is_some() {
            return;
        }
        let leader = TaskRef {
            key: TaskKey { tid: released.task.tgid.leader(), start: released.task.key.start },
            tgid: released.task.tgid,
        };
        let Some(ix) = self.subject(leader, None, told, out) else { return };
        self.seen_running(ix, told.at);
        let Some(group) = self.tasks[ix].group else { return };
        if self.tasks[ix].state < TaskState::Zombie {
            let death = Death {
                exit_state: Some(EXIT_ZOMBIE),
                exit: released.exit,
                task_flags: released.task_flags,
                de_thread: true,
                ..Death::default()
            };
            self.die(ix, &death, told, out);
        }
        self.take_over(group, released.task.key.tid, Told { hook: None, ..told }, out);
    }

    /// Lets go of what was kept only for late records: released tasks, and dead ones whose release must have been lost.
    pub(super) fn expire(&mut self, now: Ktime, most: usize, out: &mut Vec<Effect>) {
        for _ in 0..most {
            let Some(ix) = self.front(Queue::Dead, now, self.config.dead_after) else { break };
            self.stats.concluded += 1;
            let told = Told::observed(now).inferred();
            self.end_unseen(ix, told, out);
        }
        for _ in 0..most {
            let tombs = self.queues.ends(Queue::Tombstone);
            let crowded = tombs.len > self.config.tombstones;
            let Some(ix) = tombs.first else { break };
            if !crowded && u128::from(now.since(self.tasks[ix].since)) < self.config.tombstone.as_nanos() {
                break;
            }
            self.forget(ix);
        }
    }
}
