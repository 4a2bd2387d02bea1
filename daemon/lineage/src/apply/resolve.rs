//! Finds the slot of a record's task, or creates one for an unknown task.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::event_context::EventContext;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::kinds::Provenance;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;
use crate::store::tables::index::TID_LIMIT;

impl Lineage {
    /// Returns the task that a record is about, and its group. A task whose fork record was lost gets a slot. Returns `None`, and
    /// counts the record as late, contradictory or refused, if the task is gone or cannot exist.
    pub(crate) fn resolve_or_create(
        &mut self,
        reference: TaskRef,
        t: &mut Transition<'_>,
    ) -> Option<(Ix<Task>, Ix<Group>)> {
        let before = self.store.task_count();
        let subject = self.resolve_or_create_new(reference, None, t)?;
        if self.store.task_count() > before {
            self.stats.learned += 1;
        }
        Some(subject)
    }

    /// Does the same for a record that can be the first of its task.
    pub(crate) fn resolve_or_create_new(
        &mut self,
        reference: TaskRef,
        leader_start: Option<Ktime>,
        t: &mut Transition<'_>,
    ) -> Option<(Ix<Task>, Ix<Group>)> {
        // The idle task of every CPU has this tid. Idle tasks are never created or released, so no record can be about one.
        if reference.key.tid.0 == 0 {
            self.refuse();
            return None;
        }
        let ix = if let Some(known) = self.resolve_or_take_over(reference, t) {
            known
        } else {
            let made = self.create(reference, leader_start, t)?;
            self.store[made].provenance = t.ctx.provenance;
            made
        };
        let group = self.store[ix].group().filter(|&group| !self.is_of_old_leader(ix, group, t.ctx.at));
        let Some(group) = group else {
            self.stats.late += 1;
            return None;
        };
        if self.store[group].tgid() != reference.tgid.0 {
            // No task ever changes its group.
            self.stats.contradictory += 1;
            return None;
        }
        Some((ix, group))
    }

    /// Returns the task that the record of another task names, such as a parent.
    pub(crate) fn resolve_or_create_named(
        &mut self,
        reference: TaskRef,
        t: &mut Transition<'_>,
    ) -> Option<Ix<Task>> {
        let found = self.resolve_or_take_over(reference, t);
        if found.is_some() {
            return found;
        }
        let made = self.create(reference, None, t)?;
        self.stats.implied += 1;
        Some(made)
    }

    /// Returns the slot of a known task. Applies what the reference shows: an exact start time, or an exec by which a thread took
    /// its leader's place.
    #[inline]
    fn resolve_or_take_over(&mut self, reference: TaskRef, t: &mut Transition<'_>) -> Option<Ix<Task>> {
        let found = self.store.find(reference.key);
        if found.is_some() { found } else { self.take_over_as_shown(reference, t) }
    }

    #[inline(never)]
    fn take_over_as_shown(&mut self, reference: TaskRef, t: &mut Transition<'_>) -> Option<Ix<Task>> {
        if let Some(newest) = self.store.find_current(reference.key.tid) {
            if self.store.set_exact_start(newest, reference) {
                return Some(newest);
            }
            if reference.is_leader() {
                if self.store[newest].knows(known::START) || !self.store.is_leader(newest) {
                    return None;
                }
                return self.store.set_leader_start(newest, reference.key.start).then_some(newest);
            }
        }
        let group = self.group_after_exec(reference, t.ctx)?;
        if !self.vacate_for_exec(group, reference.key.tid, t) {
            return None;
        }
        self.take_over(group, reference.key.tid, &mut t.inferred());
        self.store.find(reference.key)
    }

    /// Returns the group if the reference is its old leader, which a thread has replaced: the start time is the leader's and the
    /// tid is not.
    fn group_after_exec(&self, reference: TaskRef, ctx: EventContext) -> Option<Ix<Group>> {
        let leader = self.store.find_current(reference.tgid.leader()).filter(|_| !reference.is_leader())?;
        let group = self.store[leader].group()?;
        let members = &self.store[group];
        let has_its_start = members.tgid() == reference.tgid.0
            && members.leader() == Some(leader)
            && members.has(fact::START)
            && members.start() == reference.key.start;
        // That thread may be unknown. If the leader seems dead and the kernel counted a thread at its death that no record has
        // shown, that thread became the leader. /proc shows threads with their leader's start too, but it does not show their
        // ends.
        let rare = self.store.rare_of(members);
        let taken_over_at = rare.and_then(|rare| rare.taken_over_at);
        let is_done = taken_over_at.is_some();
        // The leader dies before it is replaced. A younger thread can have reused the tid when the RCU callback of the old leader
        // arrives.
        let can_wait_since = |start: Ktime| match taken_over_at {
            Some(at) => start < at,
            None => !ctx.may_be_belated() || self.store[leader].state() != TaskState::Running,
        };
        let thread_waits = self.store.find_current(reference.key.tid).is_some_and(|ix| {
            let task = &self.store[ix];
            task.group() == Some(group) && can_wait_since(task.key().start)
        });
        let is_counted_out = self.store.hidden_threads(members) == Some(0);
        // A task that ends as `EXIT_DEAD` with the leader's tid is the last leader.
        let seems_dead = self.store[leader].state() == TaskState::Zombie && !members.has(fact::SOLE);
        let is_proven = thread_waits || (ctx.hook.is_some() && seems_dead && !is_done && !is_counted_out);
        (has_its_start && is_proven).then_some(group)
    }

    fn create(
        &mut self,
        reference: TaskRef,
        leader_start: Option<Ktime>,
        t: &mut Transition<'_>,
    ) -> Option<Ix<Task>> {
        let TaskRef { key, tgid } = reference;
        if key.tid.0 >= TID_LIMIT || tgid.0 >= TID_LIMIT || (key.tid.0 == 0) != (tgid.0 == 0) {
            self.refuse();
            return None;
        }
        if !self.vacate(key.tid, key.start, t) {
            self.stats.late += 1;
            return None;
        }
        if reference.is_leader() {
            return Some(self.store.add_group(key, known::START, t.ctx.at));
        }
        let Some(group) = self.resolve_or_create_group(tgid, leader_start, key.start, t) else {
            self.stats.late += 1;
            return None;
        };
        // This is not a thread but an old leader that was replaced before the records began.
        if t.ctx.hook.is_some()
            && self.store[group].has(fact::START)
            && self.store[group].start() == key.start
        {
            if t.ctx.is_by_tracepoint() && !self.reconcile.sees_releases {
                // Its RCU callback is still to come, maybe after a younger thread has reused its tid.
                self.add_released_unseen(reference, t.ctx.at);
            } else {
                self.stats.late += 1;
            }
            return None;
        }
        // After an exec the group has no older thread.
        let rare = self.store.rare_of(&self.store[group]);
        let taken_over_at = rare.and_then(|rare| rare.taken_over_at);
        let is_shown_alive = matches!(t.ctx.provenance, Provenance::Snapshot | Provenance::Repaired)
            && (taken_over_at.is_none_or(|at| at <= t.ctx.at)
                || rare.is_some_and(|rare| rare.taken_over_before))
            && self.store[group].exec_at <= t.ctx.at;
        if !is_shown_alive && key.start < self.store[group].exec_at.max(taken_over_at.unwrap_or_default()) {
            self.stats.late += 1;
            return None;
        }
        let task = self.store.add_task(key, known::START, t.ctx.at);
        self.store.add_to_group(group, task);
        Some(task)
    }

    /// Frees a tid: the kernel reuses a tid only after a release, so an older task with it ended unseen. Returns false if a
    /// younger task has the tid.
    pub(crate) fn vacate(&mut self, tid: Tid, start: Ktime, t: &mut Transition<'_>) -> bool {
        let Some(holder) = self.store.newest(tid) else { return true };
        let task = &self.store[holder];
        if tid.0 == 0 || (task.knows(known::START) && task.key().start >= start) {
            return false;
        }
        if task.state() != TaskState::Released {
            self.stats.concluded += 1;
            self.end_unseen(holder, t);
        }
        true
    }

    /// Returns the group of a thread. The leader keeps its tid until the last thread is gone, so the tgid finds it. An unknown
    /// leader gets a slot, and an older owner of that tid is concluded to have ended.
    fn resolve_or_create_group(
        &mut self,
        tgid: Tgid,
        leader_start: Option<Ktime>,
        thread_start: Ktime,
        t: &mut Transition<'_>,
    ) -> Option<Ix<Group>> {
        if leader_start.is_some_and(|start| start > thread_start) {
            return None;
        }
        if let Some(holder) = self.store.newest(tgid.leader()) {
            let task = &self.store[holder];
            let start = task.knows(known::START).then_some(task.key().start);
            let can_be_it = match (start, leader_start) {
                (Some(start), Some(wanted)) => start == wanted,
                (Some(start), None) => start <= thread_start,
                (None, _) => true,
            };
            if task.state() == TaskState::Released {
                // A thread does not outlive its leader; only a later owner of the tid can be meant.
                let is_later =
                    thread_start > task.since && leader_start.is_none_or(|start| start > task.since);
                if !is_later {
                    return None;
                }
            } else if can_be_it && self.store.is_leader(holder) {
                if let (None, Some(start)) = (start, leader_start) {
                    self.store.set_leader_start(holder, start);
                }
                return self.store[holder].group();
            } else if start.is_some_and(|start| start > leader_start.unwrap_or(thread_start)) {
                return None;
            } else {
                self.stats.concluded += 1;
                self.end_unseen(holder, t);
            }
        }
        let (start, knows) = leader_start.map_or((Ktime(0), 0), |start| (start, known::START));
        let leader = self.store.add_group(TaskKey { tid: tgid.leader(), start }, knows, t.ctx.at);
        self.stats.implied += 1;
        self.store[leader].group()
    }
}
