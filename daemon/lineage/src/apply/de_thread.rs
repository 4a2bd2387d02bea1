//! `de_thread()`: an exec by a thread that is not the leader.
//!
//! All other threads die. The thread that calls execve(2) takes over the leader's tid and start time, and so its identity.
//! The kernel releases the old leader under the thread's former tid. The life of the process continues.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::Action;
use crate::model::event_context::EventContext;
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tid};
use crate::model::record::Released;
use crate::model::status::GroupStatus;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;
use crate::store::tables::index::TID_LIMIT;

impl Lineage {
    /// Whether the tree has yet to apply the exec by the thread `old_tid`. A release of the old leader or a rename of the new one
    /// may have applied it already.
    pub(crate) fn is_exec_takeover_due(&self, group: Ix<Group>, old_tid: Tid, at: Ktime) -> bool {
        let members = &self.store[group];
        let thread_waits = self.store.find_current(old_tid).is_some_and(|ix| {
            let task = &self.store[ix];
            let is_thread = task.group() == Some(group) && members.leader() != Some(ix);
            // A younger thread has reused the tid.
            is_thread && task.key().start != members.start() && task.key().start < at
        });
        let taken_over_at = self.store.rare_of(members).and_then(|rare| rare.taken_over_at);
        let awaits_its_exec = taken_over_at.is_some_and(|at| at > members.exec_at);
        thread_waits || !awaits_its_exec
    }

    /// Frees the tid that the exec'ing thread had. Another task with that tid in the tree ended without a record. Returns false
    /// if a younger task has the tid; then the kernel has released the old leader too.
    pub(crate) fn vacate_for_exec(&mut self, group: Ix<Group>, old_tid: Tid, t: &mut Transition<'_>) -> bool {
        if old_tid.0 == 0 || old_tid.0 >= TID_LIMIT {
            self.refuse();
            return false;
        }
        let Some(holder) = self.store.find_current(old_tid) else { return true };
        if self.store[holder].group() == Some(group) && self.store[holder].key().start < t.ctx.at {
            return true;
        }
        // The last record of the old leader can arrive long after another task got its tid.
        !t.ctx.may_be_belated() && self.vacate(old_tid, t.ctx.at, t)
    }

    /// Returns the thread that must have replaced a leader that acts although it is exiting: the only live thread of the group.
    pub(crate) fn find_unseen_exec_thread(
        &self,
        leader: Ix<Task>,
        group: Ix<Group>,
        at: Ktime,
    ) -> Option<Ix<Task>> {
        let task = &self.store[leader];
        if self.store[group].leader() != Some(leader) || task.state() < TaskState::Exiting || task.since >= at
        {
            return None;
        }
        let can_be_it = |ix: &Ix<Task>| {
            let task = &self.store[*ix];
            task.state() < TaskState::Exiting && task.key().start < at
        };
        let mut live = self.store.members(group).filter(can_be_it);
        live.next().filter(|_| live.next().is_none())
    }

    /// Makes the thread with `old_tid` the leader; the old leader keeps that tid until it is released.
    pub(crate) fn take_over(&mut self, group: Ix<Group>, old_tid: Tid, t: &mut Transition<'_>) {
        let Some(old_leader) = self.store[group].leader() else { return };
        let leader_key = self.store[old_leader].key();
        if self.store[old_leader].state() < TaskState::Zombie {
            let death = Death { exit_state: Some(EXIT_ZOMBIE), de_thread: true, ..Death::default() };
            self.die(old_leader, &death, &mut t.inferred());
        }
        self.store.clear_zombie(group);
        self.store.set_dead_leader(group, false);
        self.store[group].set(fact::LEADER_DIED | fact::SOLE | fact::EXIT_EMITTED, false);
        let thread = self
            .store
            .find_current(old_tid)
            .filter(|&ix| self.store[ix].group() == Some(group) && ix != old_leader)
            .unwrap_or_else(|| self.create_exec_thread(group, leader_key, t.ctx));

        let left_behind = TaskKey { tid: old_tid, start: leader_key.start };
        self.store.exchange_tids(group, thread, left_behind, t.ctx.at);
        self.copy_name_to_new_leader(group, old_leader, thread);
        self.store[group].set_status(GroupStatus::Unknown);
        self.store[group].set(fact::IGNORED_KNOWN, false);
        self.reset_exit_signal(group);
        if self.store[old_leader].knows(known::VTID) {
            self.store[thread].vtid = self.store[old_leader].vtid;
            self.store[thread].known |= known::VTID;
        }

        // No parent waits for the old leader; the exec record shows which thread releases it.
        self.store[old_leader].known |= known::END_EMITTED;
        self.reparent_children(old_leader, None, t);
        self.store.set_state(old_leader, TaskState::Dead, t.ctx.at);
        self.store.enqueue(old_leader, Queue::Dead);
        let rare = self.store.rare(group);
        rare.taken_over_at = Some(t.ctx.at);
        rare.taken_over_before = t.ctx.may_be_belated();
        self.stats.takeovers += 1;
        self.emit(&mut t.with(t.ctx.without_hook()), thread, Action::ExecTakeover { old_tid });
    }

    /// Whether a record of this time is about a leader that another thread has replaced since.
    #[inline]
    pub(crate) fn is_of_old_leader(&self, ix: Ix<Task>, group: Ix<Group>, at: Ktime) -> bool {
        let taken_over_at = self.store.rare_of(&self.store[group]).and_then(|rare| rare.taken_over_at);
        self.store[group].leader() == Some(ix)
            && taken_over_at.is_some_and(|taken_over_at| at < taken_over_at)
    }

    /// Whether a record shows a leader alive after its death: another thread has replaced it in between.
    pub(crate) fn was_seen_alive_after(&self, ix: Ix<Task>, death: Ktime) -> bool {
        let task = &self.store[ix];
        task.state() == TaskState::Running
            && task.knows(known::COMM)
            && task.comm_at > death
            && self.store.is_leader(ix)
    }

    /// Handles a leader that died and is alive again: another thread replaced it, and neither the thread's fork nor its exec
    /// was seen.
    pub(crate) fn revive_leader(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        let at = t.ctx.at;
        self.store.clear_zombie(group);
        self.uncharge_parent(group);
        self.store.set_dead_leader(group, false);
        // The usage of the leader that died stays in the group's sum.
        if let Some(early) = self.accounting.awaiting_last_switch.take(ix) {
            self.accounting.ended.add(early.kind, None, &early.usage);
        }
        let died_at = self.store[ix].since;
        self.store.return_to_running(ix, at);
        self.store[ix].known &= !(known::EXIT_CODE
            | known::END_EMITTED
            | known::NO_EXIT_STATE
            | known::HAD_CHILDREN
            | known::ACCOUNTED);
        let members = &mut self.store[group];
        members.set_status(GroupStatus::Unknown);
        members.set(fact::LEADER_DIED | fact::SOLE | fact::EXIT_EMITTED | fact::FREED, false);
        self.store.rare(group).taken_over_at = Some(at);
        self.stats.takeovers += 1;
        // Threads that lived when the leader died did not survive the exec. Threads that started later may be new.
        self.end_others(group, ix, &mut t.with(EventContext { at: died_at, ..t.ctx }));
    }

    /// Copies to the new leader the comm that a record showed under the leader's tid after the exec.
    fn copy_name_to_new_leader(&mut self, group: Ix<Group>, old_leader: Ix<Task>, thread: Ix<Task>) {
        let taken_over_at = self.store.rare_of(&self.store[group]).and_then(|rare| rare.taken_over_at);
        let &Task { comm, comm_at, known: facts, .. } = &self.store[old_leader];
        if facts & known::COMM != 0 && taken_over_at.is_some_and(|at| comm_at >= at) {
            self.learn_comm(thread, Some(comm), comm_at);
        }
    }

    /// Creates the exec'ing thread if its fork record was lost.
    fn create_exec_thread(&mut self, group: Ix<Group>, key: TaskKey, ctx: EventContext) -> Ix<Task> {
        let ix = self.store.add_task(key, known::START, ctx.at);
        self.store.add_to_group(group, ix);
        self.store.set_state(ix, TaskState::Running, ctx.at);
        self.stats.learned += 1;
        ix
    }

    /// Handles the release of the old leader by the thread that replaces it: with kprobes or fentry this is the first record
    /// of the exec.
    pub(crate) fn take_over_at_release(&mut self, released: &Released, t: &mut Transition<'_>) {
        let TaskRef { key, tgid } = released.task;
        if self.store.find(key).is_some() || key.tid == tgid.leader() {
            return;
        }
        let leader = TaskRef { key: TaskKey { tid: tgid.leader(), start: key.start }, tgid };
        let Some((ix, group)) = self.resolve_or_create(leader, t) else { return };
        if !self.vacate_for_exec(group, key.tid, t) {
            return;
        }
        self.store.set_seen_running(ix, t.ctx.at);
        if self.store[ix].state() < TaskState::Zombie {
            let death = Death {
                exit_state: Some(EXIT_ZOMBIE),
                exit: released.exit,
                task_flags: released.task_flags,
                de_thread: true,
                ..Death::default()
            };
            self.die(ix, &death, t);
        }
        self.take_over(group, key.tid, t);
    }
}
