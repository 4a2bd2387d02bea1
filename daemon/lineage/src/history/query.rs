//! Queries: lives by pid and time, walks through the tree, zombies and parents. A step of a walk costs O(1).

use std::sync::Arc;

use crate::Lineage;
use crate::history::exited_process::ExitedProcess;
use crate::model::cgroup_counts::CgroupCounts;
use crate::model::death::{JobStop, Sent};
use crate::model::debt::Debt;
use crate::model::effect::Thread;
use crate::model::id::{GroupKey, Ktime, TaskRef, Tgid, Tid};
use crate::model::kinds::Provenance;
use crate::model::life::Life;
use crate::model::path_name::PathName;
use crate::model::record::Comm;
use crate::model::task::{StateCounts, TaskState};
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

/// The idle task, which no clone(2) created.
const IDLE: Tid = Tid(0);

/// A thread group that is not released, from which a walk through the tree can start.
#[derive(Clone, Copy)]
pub struct GroupView<'a> {
    lineage: &'a Lineage,
    ix: Ix<Group>,
}

/// A task that the kernel still has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskView {
    /// The task.
    pub task: TaskRef,
    /// Its state.
    pub state: TaskState,
    /// When it entered this state.
    pub since: Ktime,
    /// How its creation is known.
    pub provenance: Provenance,
    /// Other facts.
    pub thread: Thread,
}

impl<'a> GroupView<'a> {
    fn group(&self) -> &'a Group {
        &self.lineage.store[self.ix]
    }

    fn at(self, ix: Ix<Group>) -> Self {
        Self { ix, ..self }
    }

    /// Its identity.
    #[must_use]
    pub fn key(&self) -> GroupKey {
        self.group().key()
    }

    /// Its leader's comm.
    #[must_use]
    pub fn name(&self) -> Option<Comm> {
        self.group().leader().and_then(|leader| self.lineage.store.process_name(leader))
    }

    /// The id of its cgroup in the v2 hierarchy.
    #[must_use]
    pub fn cgroup_id(&self) -> Option<u64> {
        self.lineage.store.cgroup_of(self.group())
    }

    /// Path of the program that it runs.
    #[must_use]
    pub fn executable(&self) -> Option<&'a PathName> {
        self.lineage.store[self.ix].executable.as_deref()
    }

    /// Its real uid, in the initial user namespace.
    #[must_use]
    pub fn real_uid(&self) -> Option<u32> {
        let group = self.group();
        group.has(fact::CREDENTIALS).then(|| self.lineage.store.profile_of(group).uid)
    }

    /// Inode of its pid namespace.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        let group = self.group();
        group.has(fact::NAMESPACE).then(|| self.lineage.store.profile_of(group).namespace)
    }

    /// Its parent.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.lineage.store.parents_of(self.ix).map(|ix| self.at(ix))
    }

    /// The task that is its `real_parent`: a thread of its parent.
    #[must_use]
    pub fn parent_task(&self) -> Option<TaskRef> {
        self.lineage.task_view(self.group().parent()?).map(|parent| parent.task)
    }

    /// Whether it adopted orphans without being the init of a pid namespace.
    #[must_use]
    pub fn is_subreaper(&self) -> bool {
        self.group().has(fact::SUBREAPER)
    }

    /// Its parent, that one's parent, and so on up to the idle task.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<'a> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Its children, of all its threads.
    pub fn children(&self) -> impl Iterator<Item = Self> + use<'a> {
        let (lineage, view) = (self.lineage, *self);
        lineage
            .store
            .members(self.ix)
            .flat_map(|thread| lineage.store.children_of(thread))
            .map(move |ix| view.at(ix))
    }

    /// Its tasks that the kernel still has, oldest first.
    pub fn threads(&self) -> impl Iterator<Item = TaskView> + use<'a> {
        let lineage = self.lineage;
        lineage
            .store
            .members(self.ix)
            .filter(|&task| lineage.store[task].state() < TaskState::Dead)
            .filter_map(|task| lineage.task_view(task))
    }

    /// The number of its tasks that the kernel still has.
    #[must_use]
    pub fn present(&self) -> u32 {
        self.lineage.store.present(self.group())
    }

    /// Its counts as a parent.
    #[must_use]
    pub fn debt(&self) -> Option<Debt> {
        self.group().debt().map(|debt| self.lineage.store[debt].debt)
    }

    /// The oldest zombie among its children, and the time at which it became one. Costs O(children).
    #[must_use]
    pub fn oldest_zombie(&self) -> Option<(GroupKey, Ktime)> {
        let lineage = self.lineage;
        self.debt().filter(|debt| debt.zombies > 0)?;
        self.children()
            .filter_map(|child| {
                let leader = &lineage.store[child.group().leader()?];
                matches!(leader.queue(), Queue::Zombie | Queue::Flagged).then(|| (child.key(), leader.since))
            })
            .min_by_key(|&(_, since)| since)
    }

    /// Since when it is a zombie; `None` if it is not one.
    #[must_use]
    pub fn zombie_since(&self) -> Option<Ktime> {
        let leader = &self.lineage.store[self.group().leader()?];
        matches!(leader.queue(), Queue::Zombie | Queue::Flagged).then_some(leader.since)
    }

    /// Whether it is a zombie that no record or snapshot has shown since records were lost: it may have been reaped.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.group().has(fact::UNCONFIRMED)
    }

    /// The last signal that can have stopped it.
    #[must_use]
    pub fn job_stop(&self) -> Option<Arc<JobStop>> {
        self.lineage.deaths.job_stop(self.key())
    }

    /// Signals of the last minutes that may have ended the process, oldest first. The process may have handled or ignored them.
    pub fn signals(&self) -> impl Iterator<Item = &'a Sent> {
        let began = self.group().start();
        self.lineage.deaths.sent_to(self.group().tgid()).filter(move |sent| sent.last >= began)
    }

    /// Everything known about it.
    #[must_use]
    pub fn life(&self, now: Ktime) -> Option<Life> {
        self.lineage.life_of_group(self.ix, now)
    }
}

impl Lineage {
    /// The group that has this tgid now.
    #[must_use]
    pub fn group(&self, tgid: Tgid) -> Option<GroupView<'_>> {
        let leader = self.store.find_current(tgid.leader()).filter(|&ix| self.store.is_leader(ix))?;
        self.store[leader].group().map(|ix| GroupView { lineage: self, ix })
    }

    /// The group that the task with this tid belongs to now.
    #[must_use]
    pub fn group_of(&self, tid: Tid) -> Option<GroupView<'_>> {
        self.store[self.store.find_current(tid)?].group().map(|ix| GroupView { lineage: self, ix })
    }

    /// The task that has this tid now.
    #[must_use]
    pub fn task(&self, tid: Tid) -> Option<TaskView> {
        self.task_view(self.store.find_current(tid)?)
    }

    /// Every group, in the order of tgids.
    pub fn groups(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.store
            .newest_tasks()
            .filter(|&ix| self.store.is_leader(ix) && self.store[ix].key().tid != IDLE)
            .filter_map(|leader| self.store[leader].group().map(|ix| GroupView { lineage: self, ix }))
    }

    /// Every task that the kernel still has, in the order of tids.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView> {
        self.store
            .newest_tasks()
            .filter(|&ix| self.store[ix].state() < TaskState::Dead && self.store[ix].key().tid != IDLE)
            .filter_map(|ix| self.task_view(ix))
    }

    /// Zombies, oldest first: those already flagged, then the others. Unconfirmed zombies are left out.
    pub fn zombies(&self) -> impl Iterator<Item = GroupView<'_>> {
        [Queue::Flagged, Queue::Zombie].into_iter().flat_map(|queue| self.leaders_in(queue))
    }

    /// The zombies after this one, in the same order; all zombies if this one has been reaped.
    pub fn zombies_after(&self, last: Option<GroupKey>) -> impl Iterator<Item = GroupView<'_>> {
        let first_in = |queue| self.store.queue_ends(queue).first;
        let last = last.and_then(|key| self.find_zombie(key)).map(|(leader, _)| &self.store[leader]);
        let parts = match last {
            Some(last) if last.queue() == Queue::Zombie => [last.queue_next(), None],
            Some(last) => [last.queue_next(), first_in(Queue::Zombie)],
            None => [first_in(Queue::Flagged), first_in(Queue::Zombie)],
        };
        parts.into_iter().flat_map(|first| self.leaders_from(first))
    }

    /// Zombies that the next [`Lineage::tick`] flags, in that order.
    pub fn zombies_due(&self, now: Ktime) -> impl Iterator<Item = GroupView<'_>> {
        let after = self.config.zombie_after.as_nanos();
        self.leaders_in(Queue::Zombie).take_while(move |zombie| {
            zombie.zombie_since().is_some_and(|since| u128::from(now.since(since)) >= after)
        })
    }

    /// How many processes are reaped or autoreaped while the record of their release is still to come. Costs O(such tasks).
    #[must_use]
    pub fn releasing_count(&self) -> usize {
        let first = self.store.queue_ends(Queue::Dead).first;
        std::iter::successors(first, |&ix| self.store[ix].queue_next())
            .filter(|&ix| self.store.is_leader(ix))
            .count()
    }

    /// Zombies that no record or snapshot has shown since records were lost, those unconfirmed for longest first.
    pub fn unconfirmed_zombies(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.leaders_in(Queue::Unconfirmed)
    }

    /// How many unconfirmed zombies there are.
    #[must_use]
    pub fn unconfirmed_count(&self) -> usize {
        self.store.queue_ends(Queue::Unconfirmed).len
    }

    fn leaders_in(&self, queue: Queue) -> impl Iterator<Item = GroupView<'_>> {
        self.leaders_from(self.store.queue_ends(queue).first)
    }

    /// This leader and those after it in its queue.
    fn leaders_from(&self, first: Option<Ix<Task>>) -> impl Iterator<Item = GroupView<'_>> {
        std::iter::successors(first, |&ix| self.store[ix].queue_next())
            .filter_map(|leader| self.store[leader].group().map(|ix| GroupView { lineage: self, ix }))
    }

    /// How many zombies there are.
    #[must_use]
    pub fn zombie_count(&self) -> usize {
        self.store.queue_ends(Queue::Flagged).len + self.store.queue_ends(Queue::Zombie).len
    }

    /// How many of them are flagged as old.
    #[must_use]
    pub fn flagged_count(&self) -> usize {
        self.store.queue_ends(Queue::Flagged).len
    }

    /// How many tasks are in `do_exit()` and not reported as stuck.
    #[must_use]
    pub fn exiting_count(&self) -> usize {
        self.store.queue_ends(Queue::Exiting).len
    }

    /// How many tasks that were reported as stuck are still in `do_exit()`.
    #[must_use]
    pub fn stuck_count(&self) -> usize {
        self.store.queue_ends(Queue::Stuck).len
    }

    /// The task that has been in `do_exit()` for longest.
    #[must_use]
    pub fn oldest_exiting(&self) -> Option<TaskView> {
        [Queue::Stuck, Queue::Exiting]
            .into_iter()
            .find_map(|queue| self.store.queue_ends(queue).first)
            .and_then(|ix| self.task_view(ix))
    }

    /// Leaders that are dead while other threads of their group are not.
    #[must_use]
    pub const fn dead_leader_count(&self) -> usize {
        self.store.dead_leader_count()
    }

    /// How many tasks are in each state.
    #[must_use]
    pub const fn state_counts(&self) -> &StateCounts {
        self.store.state_counts()
    }

    /// Returns the tasks of each cgroup now, kernel threads among them; `None` is an unknown cgroup. A cgroup can come several times. The
    /// cost depends on the number of cgroups and users, not on that of tasks.
    pub fn cgroup_counts(&self) -> impl Iterator<Item = (Option<u64>, CgroupCounts)> {
        self.store.cgroup_counts_by_id()
    }

    /// How many groups live.
    #[must_use]
    pub const fn group_count(&self) -> usize {
        // The idle task's group is not counted.
        self.store.group_count().saturating_sub(1)
    }

    /// The number of stored lives that have ended.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.exited.len()
    }

    /// The life of the group that has this tgid now, or of the last stored one that had it.
    #[must_use]
    pub fn life(&self, tgid: Tgid, now: Ktime) -> Option<Life> {
        let live = self.group(tgid).and_then(|group| group.life(now));
        live.or_else(|| self.exited.of(tgid).next().map(|exited| self.life_of_exited(exited)))
    }

    /// The life of the group that had this tgid at a given time.
    #[must_use]
    pub fn life_at(&self, tgid: Tgid, moment: Ktime, now: Ktime) -> Option<Life> {
        let began = |life: &Life| life.key.start.is_none_or(|start| start <= moment);
        let live = self.group(tgid).and_then(|group| group.life(now)).filter(began);
        live.or_else(|| {
            let began = |exited: &ExitedProcess| exited.key().start.is_none_or(|start| start <= moment);
            let had = |exited: &&ExitedProcess| began(exited) && moment <= exited.since;
            self.exited.of(tgid).find(had).map(|exited| self.life_of_exited(exited))
        })
    }

    /// The life with this identity.
    #[must_use]
    pub fn life_by_key(&self, key: GroupKey, now: Ktime) -> Option<Life> {
        let live = self.group(key.tgid).filter(|group| group.key() == key).and_then(|group| group.life(now));
        live.or_else(|| self.exited.find(key).map(|exited| self.life_of_exited(exited)))
    }

    /// The comm in the life with this identity.
    #[must_use]
    pub fn name_by_key(&self, key: GroupKey) -> Option<Comm> {
        match self.group(key.tgid).filter(|group| group.key() == key) {
            Some(group) => group.name(),
            None => self.exited.find(key)?.name(),
        }
    }

    /// Stored lives that have ended, youngest first.
    pub fn dead_lives(&self) -> impl Iterator<Item = Life> {
        self.exited.iter().rev().map(|exited| self.life_of_exited(exited))
    }

    fn task_view(&self, ix: Ix<Task>) -> Option<TaskView> {
        let task = &self.store[ix];
        let group = &self.store[task.group()?];
        Some(TaskView {
            task: TaskRef { key: task.key(), tgid: Tgid(group.tgid()) },
            state: task.state(),
            since: task.since,
            provenance: task.provenance,
            thread: self.thread(group, ix, task),
        })
    }
}
