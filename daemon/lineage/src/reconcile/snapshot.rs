//! Merges snapshots of tasks, which show the kernel's present state, with the tree, and repairs the tree after a loss.
//!
//! A snapshot takes time: each of its records has its own time. Before [`Lineage::end_snapshot`] the caller applies every record
//! up to the end of the reading. A difference that is left then was lost and is not just in flight.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE, PF_EXITING, PF_KTHREAD};
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::kinds::Provenance;
use crate::model::record::{Comm, Snapshot, SnapshotSource};
use crate::model::task::TaskState;
use crate::store::slot::group::Group;
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;

/// A snapshot being applied.
#[derive(Debug)]
pub(crate) struct SnapshotInProgress {
    begun: Ktime,
    /// Whether this is the first snapshot, which finds tasks that are older than the records; later ones repair the tree.
    is_first: bool,
}

impl Lineage {
    /// Begins a snapshot of all tasks, whose reading began at `at`.
    pub fn begin_snapshot(&mut self, at: Ktime) {
        self.reconcile.snapshot_number =
            if self.reconcile.snapshot_number == u8::MAX { 1 } else { self.reconcile.snapshot_number + 1 };
        self.reconcile.snapshot_conflicts.clear();
        self.reconcile.snapshot =
            Some(SnapshotInProgress { begun: at, is_first: !self.reconcile.had_snapshot });
    }

    /// Whether a record has reported this task, even if it has been released since.
    #[must_use]
    pub fn knows(&self, key: TaskKey) -> bool {
        self.store.find(key).is_some()
    }

    /// Notes that the snapshot shows this task, and changes nothing else.
    pub fn show_unchanged(&mut self, key: TaskKey) {
        self.stats.records += 1;
        if let Some(ix) = self.store.find(key) {
            self.store[ix].round = self.reconcile.snapshot_number;
        }
    }

    /// Ends a snapshot whose records have all been applied. Tasks that it should have shown and did not have ended without a
    /// record.
    pub fn end_snapshot(&mut self, at: Ktime, out: &mut Vec<Effect>) {
        let Some(sweep) = self.reconcile.snapshot.take() else { return };
        let from = out.len();
        self.conclude_snapshot(at, &sweep, out);
        self.finish(from, out);
    }

    fn conclude_snapshot(&mut self, at: Ktime, sweep: &SnapshotInProgress, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext { at, provenance: sweep.provenance(), hook: None }, out);
        self.settle_snapshot_conflicts(t);
        self.decide_zombies(t.out);
        self.reconcile.had_snapshot = true;
        // In the first snapshot, the only tasks that are not shown are those that the iterator hides. Their children name them.
        if sweep.is_first {
            return;
        }
        let mut gone: Vec<Ix<Task>> =
            self.store.newest_tasks().filter(|&ix| self.is_missing(ix, sweep)).collect();
        // End children before parents and threads before leaders, so that no child is reparented to a task that is gone too.
        gone.sort_by_key(|&ix| std::cmp::Reverse((self.store[ix].key().start, self.store[ix].key().tid)));
        for ix in gone {
            let Some(group) = self.store[ix].group() else { continue };
            let is_leader = self.store[group].leader() == Some(ix);
            if is_leader {
                // A child may have been reaped or autoreaped before its reparenting.
                if !self.resolve_pending_reparent(group, None, at, t.out) {
                    continue;
                }
            }
            self.end_missing(ix, group, t);
        }
        self.confirm_all_shown();
        if sweep.begun >= self.reconcile.lost_until {
            // The snapshot also showed the zombies that began before the loss, including leaders whose threads are still to be
            // seen.
            self.reconcile.lost_until = Ktime(0);
        }
    }

    /// Ends a task that the kernel does not have any more although no record in flight shows its end.
    pub(crate) fn end_missing(&mut self, ix: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        let is_leader = self.store[group].leader() == Some(ix);
        // Tracepoints run in the context of the RCU callback, which can interrupt a hidden task. Other hooks run in the reaping
        // parent.
        let is_hidden = !self.reconcile.hidden.is_empty()
            && (!self.reconcile.sees_releases || self.is_hidden_or_of_hidden(group));
        if self.store[ix].state() == TaskState::Zombie && !self.reconcile.sees_releases && is_leader {
            self.stats.hidden_releases += u64::from(is_hidden);
            // A wait(2) reaped it, and its RCU callback is still to come.
            self.die_and_be_reaped(ix, group, Death::default(), &mut t.inferred());
        } else if self.store[ix].state() < TaskState::Dead {
            *(if is_hidden { &mut self.stats.hidden_releases } else { &mut self.stats.missed_releases }) += 1;
            self.store[ix].known |= known::CONCLUDED_GONE;
            self.end_unseen(ix, t);
        }
    }

    /// Whether the kernel hides a group or its parent.
    fn is_hidden_or_of_hidden(&self, group: Ix<Group>) -> bool {
        let members = &self.store[group];
        let parent = members.parent_key().is_some_and(|parent| self.reconcile.hidden.contains(&parent.tgid));
        parent || self.reconcile.hidden.contains(&Tgid(members.tgid()))
    }

    /// Ends a snapshot that could not be read to its end. What it showed stays applied; nothing is concluded from tasks that it
    /// did not show.
    pub fn abandon_snapshot(&mut self) {
        self.reconcile.snapshot = None;
        self.reconcile.snapshot_conflicts.clear();
    }

    fn is_missing(&self, ix: Ix<Task>, sweep: &SnapshotInProgress) -> bool {
        let task = &self.store[ix];
        // Some machines hide init and its threads from iterators. Init cannot die without a panic of the kernel.
        let can_be_hidden = task.group().is_none_or(|group| {
            let members = &self.store[group];
            let leader_was_seen = members
                .leader()
                .is_some_and(|leader| self.store[leader].round == self.reconcile.snapshot_number);
            members.tgid() == 0 || (members.tgid() == 1 && !leader_was_seen)
        });
        !can_be_hidden
            && task.state() < TaskState::Dead
            && task.round != self.reconcile.snapshot_number
            && task.key().start < sweep.begun
    }

    pub(crate) const fn is_in_snapshot(&self) -> bool {
        self.reconcile.snapshot.is_some()
    }

    /// Decides later, once the snapshot has shown all threads, whether a leader is a zombie.
    pub(crate) fn decide_zombie_later(&mut self, ix: Ix<Task>, provenance: Provenance) {
        self.reconcile.undecided_leaders.push((self.store[ix].key(), provenance));
    }

    /// Emits whether leaders that a snapshot found dead are zombies or dead leaders.
    pub(crate) fn decide_zombies(&mut self, out: &mut Vec<Effect>) {
        for (key, provenance) in std::mem::take(&mut self.reconcile.undecided_leaders) {
            let Some(ix) = self.store.find(key).filter(|&ix| self.store[ix].state() == TaskState::Zombie)
            else {
                continue;
            };
            let Some(group) = self.store[ix].group() else { continue };
            let t =
                &mut Transition::new(EventContext { at: self.store[ix].since, provenance, hook: None }, out);
            if self.store[group].is_sole() {
                self.after_task_death(group, t);
            } else {
                self.leader_died(ix, group, t);
            }
        }
    }

    pub(crate) fn on_snapshot(&mut self, at: Ktime, seen: &Snapshot, out: &mut Vec<Effect>) {
        let (provenance, repairs) = match &self.reconcile.snapshot {
            Some(sweep) => (sweep.provenance(), !sweep.is_first),
            None => (Provenance::Snapshot, false),
        };
        let t = &mut Transition::new(EventContext { at, provenance, hook: None }, out);
        self.restore_task(seen.task, at);
        if let Some(known) = self.store.find(seen.task.key) {
            self.store[known].round = self.reconcile.snapshot_number;
        }
        if let Some(group) = self.group_since_exec(seen, at) {
            // Another thread has replaced the leader that the snapshot shows. The facts about the group are still valid.
            if self.learn_parent(group, seen.parent, t).is_none() {
                return;
            }
            if let Some(leader) = self.store[group].leader() {
                self.learn_comm(leader, seen.comm, at);
            }
            return;
        }
        let Some((ix, group)) = self.resolve_or_create_new(seen.task, seen.leader_start, t) else { return };
        self.store[ix].round = self.reconcile.snapshot_number;
        let is_new = self.store[ix].state() == TaskState::Implied;
        if is_new {
            self.store.set_state(ix, TaskState::Running, at);
            self.store[ix].provenance = provenance;
            if seen.source == SnapshotSource::Procfs {
                self.store[ix].known |= known::ROUGH_START;
            }
        }
        let is_leader = self.store[group].leader() == Some(ix);
        let lives =
            seen.exit_state == Some(0) && seen.task_flags.is_some_and(|flags| flags & PF_EXITING == 0);
        if is_leader && lives && self.store[ix].state() >= TaskState::Exiting && self.store[ix].since < at {
            self.revive_leader(ix, group, t);
        }
        let old_name = self.store[ix].comm;
        let knew_name = self.store[ix].knows(known::COMM) && !is_new;
        self.learn_flags(ix, seen.task_flags);
        let learned = self.name_can_be_trusted(ix, seen) && self.learn_comm(ix, seen.comm, at);
        self.learn_place(ix, &seen.place, at);
        if is_leader && !self.learn_of_group(group, seen, t) {
            return;
        }
        if !repairs && !self.store[ix].knows(known::FORK_EMITTED) {
            // No fork record was missed: the task is older than the records.
            self.store[ix].provenance = Provenance::Snapshot;
        }
        let born_before = self.store[ix].provenance == Provenance::Snapshot;
        if repairs && !born_before && !self.store[ix].knows(known::FORK_EMITTED) {
            let is_hidden = self.is_hidden_or_of_hidden(group);
            *(if is_hidden { &mut self.stats.hidden_forks } else { &mut self.stats.missed_forks }) += 1;
            self.store[ix].known |= known::FORK_EMITTED;
            self.emit(t, ix, Action::Forked { creation: None, clone_flags: None, creator: None });
        } else if repairs && knew_name && learned && self.store[ix].comm != old_name {
            let is_hidden = self.reconcile.hidden.contains(&seen.task.tgid);
            *(if is_hidden { &mut self.stats.hidden_names } else { &mut self.stats.wrong_names }) += 1;
            let new = self.store[ix].comm;
            self.emit(t, ix, Action::Renamed { old: old_name, new });
        }
        let is_exiting = seen.task_flags.is_some_and(|flags| flags & PF_EXITING != 0);
        if is_exiting && self.store[ix].state() == TaskState::Running && self.store[group].exec_at <= at {
            self.store.set_state(ix, TaskState::Exiting, at);
            self.store[ix].known |= known::EXIT_BEGAN_UNSEEN;
            self.store.enqueue(ix, Queue::Exiting);
            if repairs {
                self.emit(t, ix, Action::Exiting { nr_threads: seen.nr_threads });
            }
        }
        let exit_state = seen.exit_state.filter(|&state| state != 0);
        if let Some(exit_state) = exit_state.filter(|_| self.store[ix].state() < TaskState::Zombie) {
            let is_hidden = self.reconcile.hidden.contains(&seen.task.tgid);
            *(if is_hidden { &mut self.stats.hidden_exits } else { &mut self.stats.missed_exits }) +=
                u64::from(repairs && !is_new);
            let death = Death {
                exit_state: Some(if exit_state == EXIT_DEAD { EXIT_DEAD } else { EXIT_ZOMBIE }),
                exit: seen.exit,
                nr_threads: seen.nr_threads,
                tracer: seen.tracer.flatten(),
                usage: seen.usage,
                ..Death::default()
            };
            if self.count_hidden_threads(ix, group, seen.nr_threads) == 0 {
                self.reparent_children(ix, None, t);
            }
            if let Some(usage) = &seen.usage {
                self.account_usage(ix, seen.task, usage, false);
            }
            self.die(ix, &death, t);
            if exit_state == EXIT_DEAD {
                self.store[ix].known |= known::SHOWN_DEAD;
            }
        }
        if is_leader && seen.exit_state == Some(EXIT_ZOMBIE) {
            self.store.confirm_zombie(ix, group);
        }
        let is_alone =
            seen.exit_state == Some(EXIT_ZOMBIE) && seen.nr_threads.is_some_and(|count| count <= 1);
        if is_alone && is_leader {
            self.became_only_task(ix, group, t);
        }
    }

    /// Applies what a snapshot's record of a leader shows about its group. Returns false if the group is gone: see
    /// [`Lineage::still_leads`].
    #[must_use]
    fn learn_of_group(&mut self, group: Ix<Group>, seen: &Snapshot, t: &mut Transition<'_>) -> bool {
        if !self.resolve_pending_reparent(group, seen.parent, t.ctx.at, t.out) {
            return false;
        }
        let Some(is_with_shown) = self.learn_parent(group, seen.parent, t) else { return false };
        self.compare_with_conclusions(seen, is_with_shown, t.ctx.at);
        // A reparenting also resets the exit signal.
        let members = &self.store[group];
        let reset_at = self.store.reparented_at(members);
        if is_with_shown && reset_at.max(members.exec_at) <= t.ctx.at {
            self.learn_exit_signal(group, seen.exit_signal);
        }
        if let Some(tracer) = seen.tracer {
            self.learn_tracer(group, tracer);
        }
        true
    }

    /// Returns the group if another thread has replaced the leader since the snapshot read it.
    fn group_since_exec(&mut self, seen: &Snapshot, at: Ktime) -> Option<Ix<Group>> {
        let ix = self.store.find(seen.task.key)?;
        let group = self.store[ix].group().filter(|&group| self.is_of_old_leader(ix, group, at))?;
        let rare = self.store.rare(group);
        if rare.taken_over_before && seen.nr_threads == Some(1) {
            // The snapshot shows no other thread, so the exec was over when it was read.
            rare.taken_over_at = Some(at);
            return None;
        }
        Some(group)
    }

    /// Whether the comm in the snapshot can be the task's comm. /proc shows a kernel worker with the name of its work.
    fn name_can_be_trusted(&self, ix: Ix<Task>, seen: &Snapshot) -> bool {
        let task = &self.store[ix];
        seen.source == SnapshotSource::Iterator || task.flags & PF_KTHREAD == 0 || !task.knows(known::COMM)
    }

    /// Restores a task that an earlier snapshot did not show and that was concluded to be gone.
    fn restore_task(&mut self, seen: TaskRef, at: Ktime) {
        let Some(ix) = self.store.find(seen.key) else { return };
        let task = &self.store[ix];
        if task.state() == TaskState::Released && task.knows(known::CONCLUDED_GONE) && task.since < at {
            self.stats.revived += 1;
            // The task had not ended.
            self.store[ix].known &= !known::END_EMITTED;
            self.forget(ix);
        }
    }

    /// Adds the idle task, the parent of init and kthreadd. No record creates it and no snapshot shows it.
    pub(crate) fn init_idle_task(&mut self) {
        let idle = TaskRef { key: TaskKey { tid: Tid(0), start: Ktime(0) }, tgid: Tgid(0) };
        let ctx = EventContext { at: Ktime(0), provenance: Provenance::Inferred, hook: None };
        if let Some(ix) = self.resolve_or_create_named(idle, &mut Transition::new(ctx, &mut Vec::new())) {
            self.store.init_idle_task(ix);
            let task = &mut self.store[ix];
            task.flags = PF_KTHREAD;
            task.comm = Comm(*b"swapper/0\0\0\0\0\0\0\0");
            task.known |= known::COMM | known::FLAGS | known::FORK_EMITTED;
        }
        self.stats.implied = 0;
    }
}

impl SnapshotInProgress {
    const fn provenance(&self) -> Provenance {
        if self.is_first { Provenance::Snapshot } else { Provenance::Repaired }
    }
}
