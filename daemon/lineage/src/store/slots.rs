//! Adds slots of tasks and groups, indexes them by tid, links them to their group, and removes them.

use std::sync::Arc;

use crate::model::cgroup_counts::CgroupCounts;
use crate::model::id::{Ktime, TaskKey};
use crate::model::kinds::Provenance;
use crate::model::path_name::PathName;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::candidates::THREADS;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::packed_usage::PackedUsage;
use crate::store::slot::task::{Queue, Task, known};
use crate::store::slot::threads::Threads;
use crate::store::tables::arena::Ix;
use crate::store::tables::profile::ProfileIx;

/// Paths and sums that a group held, which its exited process can keep.
pub(crate) struct Held {
    pub(crate) executable: Option<Arc<PathName>>,
    pub(crate) profile: ProfileIx,
    pub(crate) usage: PackedUsage,
}

impl Store {
    /// Adds a task and indexes it by its tid.
    pub(crate) fn add_task(&mut self, key: TaskKey, knows: u16, at: Ktime) -> Ix<Task> {
        let task = Task { key, known: knows, since: at, provenance: Provenance::Inferred, ..Task::default() };
        self.state_counts.add(task.state);
        let ix = self.tasks.insert(task);
        self.tasks[ix].same_tid = self.index.set(key.tid, Some(ix));
        ix
    }

    /// Adds a leader with a new group.
    pub(crate) fn add_group(&mut self, key: TaskKey, knows: u16, at: Ktime) -> Ix<Task> {
        let leader = self.add_task(key, knows, at);
        let mut group = Group { tgid: key.tid.0, leader: Some(leader), start: key.start, ..Group::default() };
        group.set(fact::START, knows & known::START != 0);
        let alone = Threads { live: 1, present: 1, first: Some(leader), last: Some(leader) };
        group.threads = alone.bits(false);
        let group = self.groups.insert(group);
        self.tasks[leader].group = Some(group);
        self.cgroup_counts(group).add(&CgroupCounts { processes: 1, threads: 1, zombies: 0 });
        leader
    }

    /// Adds a new task to a group, which may have seemed dead.
    pub(crate) fn add_to_group(&mut self, group: Ix<Group>, task: Ix<Task>) {
        self.link_thread(group, task);
        let mut threads = self.threads_of(&self.groups[group]);
        threads.present += 1;
        threads.live += 1;
        self.set_threads(group, threads);
        let counts = self.cgroup_counts(group);
        counts.threads += 1;
        counts.processes += u32::from(threads.live == 1);
        let members = &mut self.groups[group];
        if members.leader == Some(task) {
            return;
        }
        let threads = threads.present - 1;
        // If the kernel counted one task only, this task is exiting.
        if !members.has(fact::SOLE) {
            members.set(fact::EXIT_EMITTED, false);
            self.clear_zombie(group);
            let leader_is_dead =
                self.groups[group].leader.is_some_and(|leader| self.tasks[leader].state == TaskState::Zombie);
            self.set_dead_leader(group, leader_is_dead);
        }
        let start = self.tasks[task].key.start;
        let died_at = self.groups[group].leader.map(|leader| self.tasks[leader].since);
        let extra = self.extra(group);
        if let Some(hidden) = extra.hidden_threads()
            && died_at.is_some_and(|died_at| start < died_at)
        {
            extra.set_hidden_threads(hidden.saturating_sub(1));
        }
        extra.threads_created += 1;
        extra.threads_peak = extra.threads_peak.max(threads);
        if threads.is_multiple_of(THREADS) {
            self.note_many_threads(group);
        }
    }

    /// Frees the slot of a released task.
    pub(crate) fn remove_released(&mut self, ix: Ix<Task>) {
        self.dequeue(ix);
        self.unindex(ix);
        self.state_counts.remove(self.tasks[ix].state);
        self.tasks.remove(ix);
    }

    /// Removes a task from the chain of tasks with the same tid.
    fn unindex(&mut self, ix: Ix<Task>) {
        let (tid, older) = (self.tasks[ix].key.tid, self.tasks[ix].same_tid.take());
        let Some(mut newer) = self.index.get(tid) else { return };
        if newer == ix {
            self.index.set(tid, older);
            return;
        }
        while let Some(next) = self.tasks[newer].same_tid {
            if next == ix {
                self.tasks[newer].same_tid = older;
                return;
            }
            newer = next;
        }
    }

    /// Adds a tombstone for an identity, so that late records that name it are recognised.
    pub(crate) fn add_released(&mut self, key: TaskKey, at: Ktime) {
        let released = self.add_task(key, known::START, at);
        self.set_state(released, TaskState::Released, at);
        self.enqueue(released, Queue::Tombstone);
    }

    /// `exchange_tids()`: a thread takes over tid and start of its group's leader, which gets `left_behind` as its identity.
    pub(crate) fn exchange_tids(
        &mut self,
        group: Ix<Group>,
        thread: Ix<Task>,
        left_behind: TaskKey,
        at: Ktime,
    ) {
        let Some(old_leader) = self.groups[group].leader else { return };
        let (leader_key, thread_key) = (self.tasks[old_leader].key, self.tasks[thread].key);
        let start_known = self.tasks[old_leader].known & known::START;
        self.unindex(old_leader);
        self.unindex(thread);
        if thread_key != leader_key {
            self.add_released(thread_key, at);
        }
        for (ix, key) in [(thread, leader_key), (old_leader, left_behind)] {
            let task = &mut self.tasks[ix];
            task.key = key;
            task.known = task.known & !known::START | start_known;
            self.tasks[ix].same_tid = self.index.set(key.tid, Some(ix));
        }
        let threads = self.threads_of(&self.groups[group]);
        self.groups[group].leader = Some(thread);
        self.set_threads(group, threads);
    }

    /// Removes a group that has no task left in the kernel, and its side tables. The caller must store the returned value or pass
    /// it to [`Store::release_held`].
    pub(crate) fn remove_group(&mut self, group: Ix<Group>) -> Held {
        self.last_reaping.take_if(|last| last.group == group);
        self.last_group_exit.take_if(|(of, _)| *of == group);
        self.unlink_child(group);
        let counts = self.cgroup_counts_of(&self.groups[group]);
        self.cgroup_counts(group).subtract(&counts);
        while let Some(thread) = self.first_thread(group) {
            self.unlink_thread(thread);
        }
        let gone = self.groups.remove(group);
        if gone.has(fact::SUBREAPER) {
            self.subreapers -= 1;
        }
        let namespace = self.profiles.get(gone.profile).namespace;
        if self.namespaces.get(&namespace) == Some(&group) {
            self.namespaces.remove(&namespace);
        }
        if !gone.extra.is_nothing() {
            self.remove_extra(gone.extra);
        }
        if let Some(debt) = gone.debt {
            let account = self.debts.remove(debt);
            for sum in [account.reaped, account.autoreaped].into_iter().flatten() {
                self.sums.remove(sum);
            }
        }
        let usage = gone.usage.map(|usage| self.usages.remove(usage)).unwrap_or_default();
        Held { executable: gone.executable, profile: gone.profile, usage }
    }
}
