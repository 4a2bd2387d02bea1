//! `release_task()`: a tid is free again, and a life may be over.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect, Hook, Provenance, Reaper, ReaperKind};
use super::exit::Death;
use super::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use super::group::{Extra, Group, fact};
use super::id::Ktime;
use super::life::End;
use super::record::{ReleaseSource, Released};
use super::taken::Taken;
use super::task::{Queue, Task, TaskState, known};
use super::view::Told;

impl Lineage {
    pub(super) fn on_released(&mut self, at: Ktime, released: &Released, out: &mut Vec<Effect>) {
        let told = Told { at, provenance: Provenance::Observed, hook: Some(Hook::Release(released.source)) };
        self.sees_releases |= released.source == ReleaseSource::Entry;
        if released.de_thread {
            self.take_over_at_release(released, told, out);
        }
        if self.is_last_word(released.task) {
            self.bury_stranger(released.task, at);
            return;
        }
        let Some((ix, group)) = self.subject(released.task, told, out) else { return };
        self.seen_running(ix, at);
        let is_leader = self.groups[group].leader == Some(ix);
        if is_leader {
            if released.source == ReleaseSource::Free {
                if self.groups[group].has(fact::FREED) {
                    self.stats.duplicate += 1;
                    return;
                }
                self.learn_parent_at_free(group, released.parent, told, out);
                if self.members(group).any(|task| self.tasks[task].state == TaskState::Exiting && task != ix)
                {
                    self.groups[group].set(fact::FREED, true);
                    self.freed.push_back((at, released.task.key));
                    return;
                }
            } else {
                // Who releases itself was not handed on any more, whatever parent it shows by now.
                let by_itself = released.by.is_some_and(|by| by.key == released.task.key);
                if by_itself {
                    self.forgo_handover(group);
                }
                let parent = released.parent.filter(|parent| !by_itself && self.find(parent.key).is_some());
                self.learn_parent(group, parent, told, out);
            }
            // The kernel releases a leader only as the last of its group.
            self.end_threads(group, ix, told, out);
            self.groups[group].set(fact::SOLE, true);
        }
        self.release(ix, group, released, told, out);
    }

    fn release(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        released: &Released,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let is_leader = self.groups[group].leader == Some(ix);
        let reaper = self.reaper_of(group, released);
        let goes_by_itself = match &reaper {
            Some(reaper) => reaper.kind == ReaperKind::Itself,
            None => self.goes_by_itself(ix, group),
        };
        self.hand_on_children(ix, None, told, out);
        if self.tasks[ix].state < TaskState::Zombie {
            self.learn_exit_signal_once(ix, group, released.exit_signal);
            let second_turn = released.source == ReleaseSource::SecondTurn;
            let death = Death {
                exit_state: Some(if goes_by_itself && !second_turn { EXIT_DEAD } else { EXIT_ZOMBIE }),
                second_turn,
                exit: released.exit,
                task_flags: released.task_flags,
                tracer: released.tracer.flatten(),
                told_late: true,
                ..Death::default()
            };
            self.die(ix, &death, told, out);
        }
        self.tell_end(ix, group, reaper, goes_by_itself, told, out);
        let is_known = is_leader || released.by.is_some();
        self.depart(ix, reaper.filter(|_| is_known && !goes_by_itself), told, out);
    }

    /// Tells who took a task, or that nobody had to.
    fn tell_end(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        reaper: Option<Reaper>,
        goes_by_itself: bool,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        // Of an old leader, the exec that took its place tells it.
        if self.tasks[ix].knows(known::END_TOLD) {
            return;
        }
        match reaper {
            _ if goes_by_itself => {
                let told = if reaper.is_some() { told } else { told.inferred() };
                self.autoreaped(ix, group, told, out);
            }
            Some(_) => self.reaped(ix, group, reaper, told, out),
            None => self.reaped_by_rule(ix, group, told.inferred(), out),
        }
    }

    /// Releases leaders whose RCU callback came before the last switch of a thread, once that has come.
    pub(super) fn release_freed(&mut self, out: &mut Vec<Effect>) {
        while let Some((key, at)) = self.releasable.pop() {
            let Some(leader) = self.find(key) else { continue };
            let Some(group) = self.tasks[leader].group.filter(|&group| self.groups[group].has(fact::FREED))
            else {
                continue;
            };
            if self.members(group).any(|task| task != leader && self.tasks[task].state < TaskState::Dead) {
                continue;
            }
            let hook = Some(Hook::Release(ReleaseSource::Free));
            let told = Told { at, provenance: Provenance::Observed, hook };
            self.groups[group].set(fact::FREED, false);
            self.end_threads(group, leader, told, out);
            self.groups[group].set(fact::SOLE, true);
            self.hand_on_children(leader, None, told, out);
            let goes_by_itself = self.goes_by_itself(leader, group);
            self.tell_end(leader, group, None, goes_by_itself, told, out);
            self.depart(leader, None, told, out);
        }
    }

    /// Where the record does not name the reaper: a thread nobody waits for; a leader if it never was a zombie.
    fn goes_by_itself(&self, ix: Ix<Task>, group: Ix<Group>) -> bool {
        let task = &self.tasks[ix];
        if task.state == TaskState::Zombie {
            return task.queue == Queue::Candidate && self.would_autoreap(group) == Some(true);
        }
        self.groups[group].leader != Some(ix) || self.would_autoreap(group) == Some(true)
    }

    /// Nobody waits for it.
    pub(super) fn autoreaped(&mut self, ix: Ix<Task>, group: Ix<Group>, told: Told, out: &mut Vec<Effect>) {
        self.tasks[ix].known |= known::END_TOLD;
        if self.groups[group].leader == Some(ix) {
            let ended_at = self.ended_at(group);
            self.keep_taken(group, Taken { ended_at, at: Some(told.at), ..Taken::default() });
            self.take_back_zombie(group);
            self.set_dead_leader(group, false);
            self.groups[group].set_end(End::Autoreaped);
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).autoreaped += 1;
            }
            self.pass_on(group, None, false);
        }
        self.tell(out, ix, told, Action::Autoreaped);
    }

    /// Somebody took it.
    fn reaped(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        reaper: Option<Reaper>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        self.tasks[ix].known |= known::END_TOLD;
        let ended_at = self.ended_at(group);
        let mut zombie = None;
        if self.groups[group].leader == Some(ix) {
            if self.tasks[ix].queue == Queue::Candidate {
                self.settle_candidate(ix, out);
            }
            if self.groups[group].has(fact::ZOMBIE) {
                zombie = Some(self.zombie_span(ix, told.at));
            }
            self.take_back_zombie(group);
            self.set_dead_leader(group, false);
            self.groups[group].set_end(End::Reaped);
            self.keep_taken(group, Taken { reaper, zombie, ended_at, at: Some(told.at) });
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).reap(zombie);
            }
            let by_wait = reaper.is_none_or(|reaper| reaper.kind.charges_the_parent());
            self.pass_on(group, reaper.filter(|_| by_wait).map(|reaper| reaper.process.tgid), by_wait);
        }
        self.tell(out, ix, told, Action::Reaped { reaper, zombie });
    }

    /// Somebody must have taken it: its parent. When exactly is not known.
    pub(super) fn reaped_by_rule(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        if !self.groups[group].has(fact::ZOMBIE_OLDER) {
            self.groups[group].set(fact::ZOMBIE_YOUNGER, true);
        }
        let reaper = if self.groups[group].leader == Some(ix) { self.reaper_by_rule(group) } else { None };
        self.reaped(ix, group, reaper, told, out);
    }

    /// A task is gone; with its leader the group is.
    pub(super) fn depart(&mut self, ix: Ix<Task>, reaper: Option<Reaper>, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[ix].group else { return };
        let is_leader = self.groups[group].leader == Some(ix);
        if is_leader {
            self.end_threads(group, ix, told, out);
            self.take_back_zombie(group);
            self.set_dead_leader(group, false);
        }
        self.enter(ix, TaskState::Released, told.at);
        let usage = if is_leader { self.group_usage(group) } else { None };
        let children_usage = if is_leader { self.children_usage(group).map(Box::new) } else { None };
        self.tell(out, ix, told, Action::Released { reaper, usage, children_usage });
        if is_leader {
            self.end_life(group, told.at);
        } else {
            self.part(ix);
            self.after_a_death(group, told, out);
        }
        self.queues.put(&mut self.tasks, ix, Queue::Tombstone);
    }

    /// The group's last task is gone.
    fn end_life(&mut self, group: Ix<Group>, at: Ktime) {
        self.group_exit.take_if(|(of, _)| *of == group);
        let key = self.groups[group].key();
        let is_remembered = key.tgid.0 != 0 && self.config.dead_lives > 0;
        let life = if is_remembered { self.dead_life(group, at) } else { None };
        if key.tgid.0 != 0 && life.is_none() {
            self.forget_at_once(at);
        }
        self.taken.take_if(|taken| taken.group == group);
        self.orphan(group);
        while let Some(thread) = self.groups[group].first_thread {
            self.part(thread);
        }
        let gone = self.groups.remove(group);
        if gone.has(fact::SUBREAPER) {
            self.subreapers -= 1;
        }
        let namespace = self.profiles.get(gone.profile).namespace;
        if self.namespaces.get(&namespace) == Some(&group) {
            self.namespaces.remove(&namespace);
        }
        if let Some(extra) = gone.extra {
            let Extra { open, rare, .. } = self.extras.remove(extra);
            if let Some(open) = open {
                self.handovers.remove(open);
            }
            if let Some(rare) = rare {
                self.rares.remove(rare);
            }
        }
        let usage = gone.usage.map(|usage| self.usages.remove(usage)).unwrap_or_default();
        if let Some(life) = life {
            self.remember(life.with(gone.executable, gone.profile, usage));
        } else {
            self.profiles.release(gone.profile);
            self.usages.release(usage);
        }
        if let Some(debt) = gone.debt {
            let account = self.debts.remove(debt);
            for sum in [account.reaped, account.autoreaped].into_iter().flatten() {
                self.sums.remove(sum);
            }
        }
    }
}
