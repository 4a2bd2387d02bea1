//! From a record's task to the slot that holds it; unknown ones get a slot with what is known.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Effect, Provenance};
use super::group::{Group, fact};
use super::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use super::index::TID_LIMIT;
use super::task::{Task, TaskState, known};
use super::view::Told;

impl Lineage {
    /// The task with this identity, dead ones that are still remembered among them.
    pub(super) fn find(&self, key: TaskKey) -> Option<Ix<Task>> {
        let mut next = self.index.get(key.tid);
        while let Some(ix) = next {
            let task = &self.tasks[ix];
            if task.key.start == key.start && task.knows(known::START) {
                return Some(ix);
            }
            next = task.same_tid;
        }
        None
    }

    /// The task that has this tid now, as far as is known.
    pub(super) fn holder(&self, tid: Tid) -> Option<Ix<Task>> {
        self.index.get(tid).filter(|&ix| self.tasks[ix].state != TaskState::Released)
    }

    /// The task a record is about. An unknown one gets a slot; `None` if the record is about one that has gone before, or cannot be.
    pub(super) fn subject(
        &mut self,
        reference: TaskRef,
        leader_start: Option<Ktime>,
        told: Told,
        out: &mut Vec<Effect>,
    ) -> Option<Ix<Task>> {
        let found = self.look_up(reference, told, out);
        if found.is_some() {
            return found;
        }
        let made = self.make(reference, leader_start, told, out)?;
        self.tasks[made].provenance = told.provenance;
        Some(made)
    }

    /// The task that another's record names, such as a parent.
    pub(super) fn named(
        &mut self,
        reference: TaskRef,
        told: Told,
        out: &mut Vec<Effect>,
    ) -> Option<Ix<Task>> {
        let found = self.look_up(reference, told, out);
        if found.is_some() {
            return found;
        }
        let made = self.make(reference, None, told, out)?;
        self.stats.implied += 1;
        Some(made)
    }

    fn look_up(&mut self, reference: TaskRef, told: Told, out: &mut Vec<Effect>) -> Option<Ix<Task>> {
        let found = self.find(reference.key);
        if found.is_some() {
            return found;
        }
        let newest = self.holder(reference.key.tid)?;
        if reference.is_leader() {
            if self.tasks[newest].knows(known::START) || !self.is_leader(newest) {
                return None;
            }
            return self.give_start(newest, reference.key.start).then_some(newest);
        }
        // A tid that is not the leader's with the leader's start: the old leader, after a thread took its place.
        let group = self.tasks[newest].group?;
        let members = &self.groups[group];
        let is_old_leader = members.tgid == reference.tgid.0
            && members.has(fact::START)
            && members.start == reference.key.start
            && members.leader != Some(newest);
        if !is_old_leader {
            return None;
        }
        self.take_over(group, reference.key.tid, told.inferred(), out);
        self.find(reference.key)
    }

    /// A leader known only through its threads shows its own start. False if that cannot be.
    fn give_start(&mut self, leader: Ix<Task>, start: Ktime) -> bool {
        let Some(group) = self.tasks[leader].group else { return false };
        let tgid = self.groups[group].tgid;
        let older_child =
            std::iter::successors(self.groups[group].first_thread, |&ix| self.tasks[ix].thread_next)
                .flat_map(|thread| self.children_of(thread))
                .any(|child| (self.groups[child].start, self.groups[child].tgid) <= (start, tgid));
        let older_thread = self
            .members(group)
            .any(|thread| self.tasks[thread].knows(known::START) && self.tasks[thread].key.start < start);
        if older_child || older_thread {
            return false;
        }
        let task = &mut self.tasks[leader];
        task.key.start = start;
        task.known |= known::START;
        self.groups[group].start = start;
        self.groups[group].set(fact::START, true);
        self.spread_start(group, start);
        true
    }

    /// Tells the children of a group's threads its start.
    fn spread_start(&mut self, group: Ix<Group>, start: Ktime) {
        let mut thread = self.groups[group].first_thread;
        while let Some(ix) = thread {
            let mut child = self.tasks[ix].first_child;
            while let Some(c) = child {
                self.groups[c].parent_start = start;
                self.groups[c].set(fact::PARENT_START, true);
                child = self.groups[c].sibling_next;
            }
            thread = self.tasks[ix].thread_next;
        }
    }

    fn make(
        &mut self,
        reference: TaskRef,
        leader_start: Option<Ktime>,
        told: Told,
        out: &mut Vec<Effect>,
    ) -> Option<Ix<Task>> {
        let TaskRef { key, tgid } = reference;
        if key.tid.0 >= TID_LIMIT || tgid.0 >= TID_LIMIT || (key.tid.0 == 0) != (tgid.0 == 0) {
            self.stats.refused += 1;
            return None;
        }
        self.vacate(key.tid, key.start, told, out)?;
        let group = if reference.is_leader() {
            let leader = self.place(key, known::START, told.at);
            return Some(self.found(leader, tgid, Some(key.start)));
        } else {
            self.group_of_thread(tgid, leader_start, key.start, told, out)?
        };
        let task = self.place(key, known::START, told.at);
        self.enrol(group, task);
        Some(task)
    }

    /// A tid is free before it is handed out again: whoever has it and is older has gone unseen. `None` if it is younger.
    fn vacate(&mut self, tid: Tid, start: Ktime, told: Told, out: &mut Vec<Effect>) -> Option<()> {
        let Some(holder) = self.index.get(tid) else { return Some(()) };
        let task = &self.tasks[holder];
        if task.knows(known::START) && task.key.start >= start {
            return None;
        }
        if task.state != TaskState::Released {
            self.stats.concluded += 1;
            self.end_unseen(holder, told, out);
        }
        Some(())
    }

    /// The group a thread belongs to, found by its leader, which has its tid until the last thread is gone.
    fn group_of_thread(
        &mut self,
        tgid: Tgid,
        leader_start: Option<Ktime>,
        thread_start: Ktime,
        told: Told,
        out: &mut Vec<Effect>,
    ) -> Option<Ix<Group>> {
        if let Some(newest) = self.index.get(tgid.leader()) {
            let leader = &self.tasks[newest];
            let same = match leader_start {
                Some(start) if leader.knows(known::START) => leader.key.start == start,
                _ => !leader.knows(known::START) || leader.key.start <= thread_start,
            };
            match leader.state {
                TaskState::Released => {
                    if (same && leader_start.is_some()) || thread_start <= leader.since {
                        return None;
                    }
                }
                _ if same && self.is_leader(newest) => {
                    if let Some(start) = leader_start
                        && !leader.knows(known::START)
                    {
                        self.give_start(newest, start);
                    }
                    return self.tasks[newest].group;
                }
                _ if leader.knows(known::START)
                    && leader_start.is_some_and(|start| start < leader.key.start) =>
                {
                    return None;
                }
                _ if leader.knows(known::START) && leader.key.start > thread_start => return None,
                _ => {
                    self.stats.concluded += 1;
                    self.end_unseen(newest, told, out);
                }
            }
        }
        let (start, knows) = leader_start.map_or((Ktime(0), 0), |start| (start, known::START));
        let leader = self.place(TaskKey { tid: tgid.leader(), start }, knows, told.at);
        self.found(leader, tgid, leader_start);
        self.stats.implied += 1;
        self.tasks[leader].group
    }

    /// A slot for a task, reachable by its tid.
    pub(super) fn place(&mut self, key: TaskKey, knows: u8, at: Ktime) -> Ix<Task> {
        let task = Task { key, known: knows, since: at, provenance: Provenance::Inferred, ..Task::default() };
        let ix = self.tasks.insert(task);
        self.tasks[ix].same_tid = self.index.set(key.tid, Some(ix));
        ix
    }

    /// A new group with this leader.
    fn found(&mut self, leader: Ix<Task>, tgid: Tgid, start: Option<Ktime>) -> Ix<Task> {
        let mut group = Group { tgid: tgid.0, leader: Some(leader), ..Group::default() };
        if let Some(start) = start {
            group.start = start;
            group.set(fact::START, true);
        }
        let group = self.groups.insert(group);
        self.enrol(group, leader);
        leader
    }

    /// A new task in a group that may have thought itself dead.
    pub(super) fn enrol(&mut self, group: Ix<Group>, task: Ix<Task>) {
        self.join(group, task);
        let members = &mut self.groups[group];
        members.present += 1;
        members.live += 1;
        if members.leader != Some(task) {
            members.set(fact::SOLE | fact::EXIT_TOLD, false);
            let threads = members.present - 1;
            let rare = self.rare(group);
            rare.threads_created += 1;
            rare.threads_peak = rare.threads_peak.max(threads);
            self.take_back_zombie(group);
        }
    }

    /// Forgets a tombstone.
    pub(super) fn forget(&mut self, ix: Ix<Task>) {
        self.queues.take(&mut self.tasks, ix);
        self.unindex(ix);
        self.tasks.remove(ix);
    }

    /// Takes a task out of its tid's chain.
    pub(super) fn unindex(&mut self, ix: Ix<Task>) {
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

    /// Whether a task leads its group.
    pub(super) fn is_leader(&self, ix: Ix<Task>) -> bool {
        self.tasks[ix].group.is_some_and(|group| self.groups[group].leader == Some(ix))
    }
}
