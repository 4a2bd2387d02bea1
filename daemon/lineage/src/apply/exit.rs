//! `do_exit()` begins, `exit_notify()` decides.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE, PF_EXITING};
use crate::model::id::{Ktime, TaskRef};
use crate::model::kinds::{Hook, Provenance};
use crate::model::record::{ExitParts, ExitSource, Exited, Exiting, TaskUsage};
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;
use crate::store::tables::index::TID_LIMIT;

/// What the first record of a task's death shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Death {
    /// What `exit_notify()` decided; `None` if no record shows it.
    pub(crate) exit_state: Option<u32>,
    pub(crate) exit: ExitParts,
    pub(crate) task_flags: Option<u32>,
    pub(crate) nr_threads: Option<i32>,
    pub(crate) tracer: Option<TaskRef>,
    pub(crate) usage: Option<TaskUsage>,
    /// The death is concluded from a later record, so the time at which the task became a zombie is not known.
    pub(crate) seen_late: bool,
    /// `release_task()` of the last thread released this dead leader in its second turn.
    pub(crate) second_turn: bool,
    /// The old leader dies because another thread calls execve(2); the group lives on.
    pub(crate) de_thread: bool,
}

impl Lineage {
    pub(crate) fn on_exiting(&mut self, at: Ktime, exiting: &Exiting, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some((ix, group)) = self.resolve_or_create(exiting.task, t) else { return };
        if self.was_seen_alive_after(ix, at) {
            self.stats.late += 1;
            return;
        }
        match self.store[ix].state() {
            TaskState::Implied | TaskState::Running => {}
            TaskState::Exiting => {
                self.stats.duplicate += 1;
                return;
            }
            _ => {
                self.stats.late += 1;
                return;
            }
        }
        if let Some(ignores) = exiting.parent_ignores_sigchld {
            let members = &mut self.store[group];
            members.set(fact::IGNORED_KNOWN, true);
            members.set(fact::IGNORED, ignores);
            members.set(fact::IGNORED_LATER, false);
            if let Some(parents) = self.store.parents_of(group) {
                self.store[parents].set(fact::IGNORES_KNOWN, true);
                self.store[parents].set(fact::IGNORES, ignores);
            }
        }
        self.store.set_state(ix, TaskState::Exiting, at);
        self.store.enqueue(ix, Queue::Exiting);
        self.learn_flags(ix, exiting.task_flags);
        self.learn_exit_code(ix, exiting.exit.exit_code);
        self.store[ix].flags |= PF_EXITING;
        let mut status = self.store[group].status();
        status.learn_early(&exiting.exit);
        self.store[group].set_status(status);
        self.learn_exit_signal_once(ix, group, exiting.exit_signal);
        self.note_exiting(group, at, exiting);
        self.emit(t, ix, Action::Exiting { nr_threads: exiting.nr_threads });
        match exiting.has_children {
            Some(false) => self.reap_unseen_children(ix, group, t),
            Some(true) => self.store[ix].known |= known::HAD_CHILDREN,
            None => {}
        }
    }

    pub(crate) fn on_exited(&mut self, at: Ktime, exited: &Exited, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(
            EventContext { at, provenance: Provenance::Observed, hook: Some(Hook::Exit(exited.source)) },
            out,
        );
        let known = self.store.find(exited.task.key);
        if let Some(gone) = known.filter(|&ix| self.store[ix].group().is_none()) {
            self.complete(gone, exited);
            if let Some(new_reaper) = exited.new_reaper_process() {
                self.apply_late_reaper(exited.task, new_reaper, t);
            }
            return;
        }
        if exited.exit_state == Some(EXIT_DEAD) && self.is_end_of_unknown_thread(exited.task) {
            self.add_released_unseen(exited.task, at);
            return;
        }
        let Some((ix, group)) = self.resolve_or_create(exited.task, t) else { return };
        if self.was_seen_alive_after(ix, at) {
            self.stats.late += 1;
            return;
        }
        self.store.set_seen_running(ix, at);
        let is_leader = self.store[group].leader() == Some(ix);
        let is_gone = exited.exit_state == Some(EXIT_DEAD);
        // The record of a task that has been released can name a parent that is gone too.
        let parent = exited.parent.filter(|parent| !is_gone || self.store.find(parent.key).is_some());
        let is_stranger = known.is_none() && is_gone;
        if is_leader && !is_stranger {
            if is_gone && !t.ctx.is_by_tracepoint() {
                self.cancel_pending_reparent(group);
            }
            if !self.resolve_pending_reparent(group, parent, at, t.out) {
                return;
            }
            // `exit_notify()` decided on autoreaping under the parent of that time, and `reparent_leader()` skips such a child.
            // If the last switch shows another parent, that parent more likely got the child earlier and reaped it.
            if !is_gone || t.ctx.is_by_tracepoint() || self.would_autoreap(group) != Some(true) {
                let Some(is_with_shown) = self.learn_parent(group, parent, t) else { return };
                // A reparenting also resets the exit signal.
                let reset_at = self.store.reparented_at(&self.store[group]);
                if is_with_shown && reset_at <= at {
                    self.learn_exit_signal(group, exited.exit_signal);
                }
            }
            if let Some(tracer) = exited.tracer {
                self.learn_tracer(group, tracer);
            }
        }
        if !is_leader
            && t.ctx.is_by_tracepoint()
            && self.shows_reparenting(group, exited.parent)
            && self.learn_parent(group, exited.parent, t).is_none()
        {
            return;
        }
        if !self.reparent_children_as_shown(ix, group, exited, t) {
            return;
        }
        self.learn_exit_signal_once(ix, group, exited.exit_signal);
        if self.store[ix].state() >= TaskState::Zombie {
            self.complete(ix, exited);
            return;
        }
        let death = Death {
            exit_state: exited.exit_state,
            exit: exited.exit,
            task_flags: exited.task_flags,
            nr_threads: exited.nr_threads,
            tracer: exited.tracer.flatten(),
            usage: exited.usage,
            ..Death::default()
        };
        self.account(ix, exited);
        if exited.exit_state == Some(EXIT_DEAD) && exited.source != ExitSource::ExitNotify {
            if known.is_none() {
                // No earlier record has shown this task.
                self.die(ix, &death, t);
                return;
            }
            if is_leader && (t.ctx.is_by_tracepoint() || !self.reconcile.sees_releases) {
                self.die_before_final_switch(ix, group, death, t);
                return;
            }
            // An autoreaped leader is released inside exit_notify(), before this record. So this leader is being reaped by a
            // wait(2). For a thread that is not a leader, only a tracer can wait.
            let is_taken = if is_leader {
                // The SIGCHLD disposition of a parent that adopted the child later did not decide this.
                self.would_autoreap(group) != Some(true) || self.store[group].has(fact::IGNORED_LATER)
            } else {
                death.tracer.is_some()
            };
            if is_taken && !t.ctx.is_by_tracepoint() {
                self.die(ix, &Death { exit_state: Some(EXIT_ZOMBIE), ..death }, t);
                return;
            }
        }
        self.die(ix, &death, t);
        if self.store[ix].state() == TaskState::Dead {
            self.autoreaped(ix, group, t);
        }
    }

    /// Returns the number of threads that a dead leader's group still has by the kernel's count and that no record has shown. The
    /// kernel reparents the leader's children to these threads, so the children stay in the group.
    pub(crate) fn count_hidden_threads(&mut self, ix: Ix<Task>, group: Ix<Group>, count: Option<i32>) -> u32 {
        let Some(count) = count.and_then(|count| u32::try_from(count).ok()) else { return 0 };
        if self.store[group].leader() != Some(ix) {
            return 0;
        }
        let is_counted = |ix: &Ix<Task>| {
            let task = &self.store[*ix];
            task.state() < TaskState::Dead || task.knows(known::SHOWN_DEAD)
        };
        let seen = if count <= self.store.present(&self.store[group]) {
            count
        } else {
            u32::try_from(self.store.members(group).filter(is_counted).count()).unwrap_or(u32::MAX)
        };
        let hidden = count.saturating_sub(seen);
        if count > 1 {
            self.store.extra(group).set_hidden_threads(hidden);
        }
        hidden
    }

    /// Handles the end of a thread if neither the thread nor its group is known: both may have been released long ago.
    pub(crate) fn is_end_of_unknown_thread(&self, task: TaskRef) -> bool {
        !task.is_leader()
            && self.store.find(task.key).is_none()
            && self.store.find_current(task.tgid.leader()).is_none()
    }

    /// Adds a tombstone for a released task that no record has shown, because an older record of it may still arrive.
    pub(crate) fn add_released_unseen(&mut self, task: TaskRef, at: Ktime) {
        self.stats.late += 1;
        if task.key.tid.0 == 0
            || task.key.tid.0 >= TID_LIMIT
            || self.store.find_current(task.key.tid).is_some()
        {
            return;
        }
        self.store.add_released(task.key, at);
    }

    pub(crate) fn learn_exit_code(&mut self, ix: Ix<Task>, code: Option<i32>) {
        if let Some(code) = code {
            self.store[ix].exit_code = code;
            self.store[ix].known |= known::EXIT_CODE;
        }
    }

    pub(crate) fn learn_exit_signal_once(&mut self, ix: Ix<Task>, group: Ix<Group>, signal: Option<i32>) {
        if self.store[group].leader() == Some(ix) && !self.store[group].has(fact::EXIT_SIGNAL) {
            self.learn_exit_signal(group, signal);
        }
    }

    /// Ends a live task: `exit_notify()` has decided between zombie and dead.
    pub(crate) fn die(&mut self, ix: Ix<Task>, death: &Death, t: &mut Transition<'_>) {
        let state = match death.exit_state {
            Some(EXIT_DEAD) => TaskState::Dead,
            Some(_) => TaskState::Zombie,
            None => {
                self.store[ix].known |= known::NO_EXIT_STATE;
                TaskState::Dead
            }
        };
        let Some(group) = self.store[ix].group() else { return };
        let is_leader = self.store[group].leader() == Some(ix);
        let since = self.store[ix].since;
        let saw_it_begin = self.store[ix].state() == TaskState::Exiting;
        self.learn_flags(ix, death.task_flags);
        self.learn_exit_code(ix, death.exit.exit_code);
        let exit_code = self.store[ix].knows(known::EXIT_CODE).then_some(self.store[ix].exit_code);
        let mut status = self.store[group].status();
        status.learn(&ExitParts { exit_code, group: death.exit.group }, is_leader);
        self.store[group].set_status(status);
        if is_leader && death.nr_threads.is_some_and(|count| count <= 1) {
            self.store[group].set(fact::SOLE, true);
        }
        self.store.set_state(ix, state, t.ctx.at);
        if is_leader && death.tracer.is_some() {
            self.learn_tracer(group, death.tracer);
        }
        if death.usage.is_none() {
            self.account_unknown(group);
        }
        let vfork_held_ns = if is_leader { self.end_vfork_hold(group, t.ctx.at) } else { None };
        let &Death { usage, nr_threads, tracer, .. } = death;
        let saw_both = saw_it_begin
            && t.ctx.provenance == Provenance::Observed
            && !death.seen_late
            && !self.store[ix].knows(known::EXIT_BEGAN_UNSEEN);
        let exit_ns = saw_both.then(|| t.ctx.at.since(since));
        self.emit(t, ix, Action::Exited { usage, nr_threads, tracer, vfork_held_ns, exit_ns });
        if state == TaskState::Dead {
            self.store.enqueue(ix, Queue::Dead);
        } else if is_leader && death.seen_late {
            // This is the earliest time at which it can have become a zombie.
            self.store[ix].since = if saw_it_begin { since } else { t.ctx.at };
            self.store[group].set(fact::ZOMBIE_YOUNGER, saw_it_begin);
        }
        if death.de_thread {
            // This holds however late the record arrives: the leader died while another task of its group lived.
            self.leader_died(ix, group, t);
            return;
        }
        if death.second_turn {
            self.emit_group_exit(group, t);
            return;
        }
        if self.is_in_snapshot() && t.ctx.provenance != Provenance::Observed && is_leader && !death.seen_late
        {
            // The records of its threads follow.
            self.decide_zombie_later(ix, t.ctx.provenance);
            return;
        }
        if is_leader && state == TaskState::Zombie && !self.store[group].is_sole() {
            self.leader_died(ix, group, t);
        }
        self.after_task_death(group, t);
    }
}
