//! Tracepoints do not show a wait(2), and they show the release of the child only an RCU grace period later.
//!
//! If the parent dies in between, its dead child is still in the tree. Either the parent had reaped the child, or the kernel
//! reparented the child as a zombie. Two facts decide: whether the parent had any child left when its exit began, and the
//! child's `real_parent`, which does not change after the release.

use crate::Lineage;
use crate::apply::exit::Death;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef};
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::pending_reparent::{PendingReparent, ReparentStep};
use crate::store::slot::task::{Queue, Task, known};
use crate::store::tables::arena::Ix;

/// Facts that a child's exit shows about its parent's disposition of SIGCHLD.
const IGNORED: u32 = fact::IGNORED_KNOWN | fact::IGNORED;

/// An RCU callback nearly always comes within this time after the release, ns.
const CALLBACK_WITHIN_NS: u64 = 1_000_000_000;

impl Lineage {
    /// Handles an exiting task that has no children by its record: it has reaped the children that the tree still has.
    pub(crate) fn reap_unseen_children(&mut self, dying: Ix<Task>, group: Ix<Group>, t: &mut Transition<'_>) {
        // If releases are reported when they begin, the child's own release record follows and has more facts.
        if self.reconcile.sees_releases {
            return;
        }
        let mut next = self.store[dying].first_child();
        while let Some(child) = next {
            next = self.store[child].sibling_next();
            let Some(leader) = self.store[child].leader() else { continue };
            // In a group of several threads, the tree may have linked the child to the wrong thread.
            let is_certain =
                self.store.present(&self.store[group]) == 1 || !self.store[child].has(fact::PARENT_INFERRED);
            let is_pending = self.store[child].has(fact::PARENT_PENDING);
            let is_seen_later = self.store[leader].since > t.ctx.at;
            if !is_certain || is_pending || is_seen_later || !self.may_have_been_reaped(child) {
                continue;
            }
            let is_autoreaped =
                self.would_autoreap(child) == Some(true) && !self.store[child].has(fact::ZOMBIE);
            if is_autoreaped {
                // The record of the child's last switch follows: the scheduler ran the parent before the child's exit had ended.
                self.autoreap_late(leader, child, &mut t.inferred());
            } else {
                self.die_and_be_reaped(leader, child, Death::default(), &mut t.inferred());
            }
        }
    }

    /// Whether children that the tree still has may have been released before this task exited. Only records of a last switch
    /// leave this open.
    pub(crate) fn may_have_lost_children(&self, dying: Ix<Task>, ctx: EventContext) -> bool {
        if !ctx.is_by_tracepoint() || self.reconcile.sees_reparenting {
            return false;
        }
        let mut children = self.store.children_of(dying);
        let (Some(child), None) = (children.next(), children.next()) else { return true };
        // The task had a child when its exit began. If the tree has exactly one child, it is that one. If that child is a zombie,
        // it stays one during the exit: only another thread, or a namespace's init in zap_pid_ns_processes(), still calls
        // wait(2).
        let group = self.store[dying].group();
        let no_task_waits =
            group.is_some_and(|group| self.store[group].is_sole() && !self.store.is_namespace_init(group));
        let is_zombie =
            self.store[child].leader().is_some_and(|leader| self.store[leader].state() == TaskState::Zombie);
        !(no_task_waits && is_zombie && self.store[dying].knows(known::HAD_CHILDREN))
    }

    /// Whether a child can have been released already: all its tasks are at least exiting.
    pub(crate) fn may_have_been_reaped(&self, child: Ix<Group>) -> bool {
        self.store[child].leader().is_some_and(|leader| {
            matches!(self.store[leader].state(), TaskState::Exiting | TaskState::Zombie)
        }) && self.store.members(child).all(|ix| self.store[ix].state() >= TaskState::Exiting)
    }

    /// Whether a child of an exiting task may be past `exit_notify()` and about to release itself. `reparent_leader()` skips such
    /// a child, and no hook reports that.
    pub(crate) fn may_be_autoreaping(&self, child: Ix<Group>, father: EventContext) -> bool {
        let is_exiting = self.store[child].leader().is_some_and(|leader| {
            // A dead leader that `release_task()` of its last thread may be releasing in its second turn, whose record is still
            // to come.
            let is_candidate = self.store[leader].queue() == Queue::Candidate;
            self.store[leader].state() == TaskState::Exiting || is_candidate
        });
        let is_by_function = father.hook.is_some() && !father.is_by_tracepoint();
        // A case that is open stays open: the SIGCHLD disposition of a parent that adopted the child later decides nothing.
        let goes_by_itself =
            self.store[child].has(fact::PARENT_PENDING) || self.would_autoreap(child) == Some(true);
        is_exiting && is_by_function && goes_by_itself
    }

    /// Whether the last switch of a thread shows a reparenting of its group. It shows the group's parent at the thread's end. If
    /// the parent in the tree is exiting and the parent in the record is not, the group was reparented in between.
    pub(crate) fn shows_reparenting(&self, group: Ix<Group>, parent: Option<TaskRef>) -> bool {
        let is_dying = |ix: Ix<Task>| self.store[ix].state() >= TaskState::Exiting;
        let shown = parent.and_then(|parent| self.store.find(parent.key));
        self.store[group].parent().is_some_and(is_dying) && shown.is_some_and(|ix| !is_dying(ix))
    }

    /// Links a child to its new parent and notes that the reparenting may not have taken place. `via` is another parent that
    /// adopted the child and died in between.
    pub(crate) fn reparent_pending(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        via: Option<ReparentStep>,
        parent: Ix<Task>,
        ctx: EventContext,
    ) {
        let old_group =
            old.map_or_else(|| self.store[group].parent_key(), |old| Some(self.group_key_of(old)));
        let ignored = self.store[group].facts() & IGNORED;
        if !self.store.link_child(group, parent) {
            self.stats.contradictory += 1;
            return;
        }
        let step = ReparentStep { new: self.store.reference(parent), ctx };
        // This is a further reparenting. The open question is still whether the first parent reaped the child.
        if let Some(open) = self.store.pending_reparent_mut(group) {
            open.further.extend(via.into_iter().chain([step]));
            return;
        }
        let (first, further) = via.map_or((step, Vec::new()), |via| (via, vec![step]));
        self.open_reparent(group, PendingReparent { old, old_group, ignored, first, further });
    }

    fn open_reparent(&mut self, group: Ix<Group>, open: PendingReparent) {
        let at = open.first.ctx.at;
        self.store.set_pending_reparent(group, open);
        self.store[group].set(fact::PARENT_PENDING, true);
        if let Some(leader) = self.store[group].leader() {
            self.reconcile.pending_reparents.push_back((at, self.store[leader].key()));
            self.reconcile.reparents_opened += 1;
        }
    }

    /// Settles an open reparenting by the parent that a record of the child shows after the reparenting. Returns false if the
    /// group is gone: see [`Lineage::still_leads`].
    #[must_use]
    pub(crate) fn resolve_pending_reparent(
        &mut self,
        group: Ix<Group>,
        parent: Option<TaskRef>,
        at: Ktime,
        out: &mut Vec<Effect>,
    ) -> bool {
        let open = self.store.pending_reparent(&self.store[group]);
        // A record from before the reparenting cannot settle it.
        if open.is_none_or(|open| open.first.ctx.at > at) {
            return true;
        }
        let Some(leader) = self.store[group].leader() else { return false };
        let Some(open) = self.take_pending(group) else { return true };
        if let Some(shown) = parent
            && self.store[group].parent_at() > at
            && open.old.is_none_or(|old| old.key != shown.key)
        {
            self.renew_pending_reparent(group, &open, shown, out);
            return true;
        }
        // If the record shows no parent, assume the common case: the former parent had reaped the child.
        let parent = parent.or(open.old);
        let now = self.store[group].parent().and_then(|parent| self.store.reference(parent));
        let key = |task: Option<TaskRef>| task.map(|task| task.key);
        // The present parent is compared first: a new reaper that called execve(2) since has the identity of its dead leader.
        if key(parent) != key(now) && key(parent) == key(open.old) {
            self.restore_parent(group, open.old_group);
            self.store[group].set(open.ignored, true);
            return true;
        }
        // A new reaper that has taken its leader's place since is still a task of that group.
        let parents = self.store[group].parent_key();
        let is_there = |parent: TaskRef| {
            parents.is_some_and(|now| {
                now.tgid == parent.tgid && now.start.is_none_or(|start| start <= parent.key.start)
            })
        };
        let mut steps = open.steps().count();
        if let Some(parent) = parent
            && !is_there(parent)
        {
            // Of several reparentings, only those up to the shown parent took place: it reaped the child, or it still has it.
            steps = open.steps_to(parent).unwrap_or(1);
            let t = &mut Transition::new(EventContext { at, hook: None, ..open.first.ctx }, out);
            let ix = self.resolve_or_create_living(parent, t);
            if !self.still_leads(leader, group) {
                return false;
            }
            if !ix.is_some_and(|ix| self.store.link_child(group, ix)) {
                self.restore_parent(group, Some(self.group_key_of(parent)));
            }
        }
        let father = self.emit_pending_reparents(group, &open, steps, parent, out);
        self.note_exiting_parent(group, father);
        true
    }

    /// Handles a record that shows the child with a parent that adopted it and has died since. The open question is now whether
    /// that parent reaped the child.
    fn renew_pending_reparent(
        &mut self,
        group: Ix<Group>,
        open: &PendingReparent,
        new_reaper: TaskRef,
        out: &mut Vec<Effect>,
    ) {
        let known = open.steps_to(new_reaper);
        self.emit_pending_reparents(group, open, known.unwrap_or(1), Some(new_reaper), out);
        let mut rest = open.steps().skip(known.unwrap_or(1));
        let next = rest.next();
        if known.is_some() && next.is_none() {
            // The last step: the record of the old parent's last switch is younger than the step itself.
            return;
        }
        let ctx = EventContext { at: self.store[group].parent_at(), ..open.first.ctx };
        let again = PendingReparent {
            old: Some(new_reaper),
            old_group: Some(self.group_key_of(new_reaper)),
            ignored: open.ignored,
            first: next.unwrap_or(ReparentStep { new: None, ctx }),
            further: rest.collect(),
        };
        self.open_reparent(group, again);
    }

    /// Returns the identity of a task's group, as far as it is known.
    pub(crate) fn group_key_of(&self, task: TaskRef) -> GroupKey {
        match self.store.find(task.key).and_then(|ix| self.store[ix].group()) {
            Some(group) => self.store[group].key(),
            None => task.group(),
        }
    }

    /// Undoes an open reparenting of a child that was autoreaped: it was released under its former parent.
    pub(crate) fn cancel_pending_reparent(&mut self, group: Ix<Group>) {
        if let Some(open) = self.take_pending(group) {
            self.restore_parent(group, open.old_group);
            self.store[group].set(open.ignored, true);
        }
    }

    /// Notes which task releases a zombie that is reparented to a parent that ignores SIGCHLD: `reparent_leader()` runs in the
    /// exiting former parent.
    pub(crate) fn note_exiting_parent(&mut self, group: Ix<Group>, father: Option<GroupKey>) {
        let is_zombie = self.store[group].leader().is_some_and(|leader| {
            self.store[leader].state() == TaskState::Zombie && self.store[group].is_sole()
        });
        if is_zombie && self.would_autoreap(group) == Some(true) {
            self.store.rare(group).exiting_reaper = father;
        }
    }

    fn take_pending(&mut self, group: Ix<Group>) -> Option<PendingReparent> {
        if !self.store[group].has(fact::PARENT_PENDING) {
            return None;
        }
        self.store[group].set(fact::PARENT_PENDING, false);
        self.store.take_pending_reparent(group)
    }

    /// Returns how many reparentings were uncertain so far; [`Lineage::doubtful`] returns those that still are.
    #[must_use]
    pub const fn reparents_opened(&self) -> u64 {
        self.reconcile.reparents_opened
    }

    /// Whether the reparenting of this child is uncertain and so recent that the child's RCU callback, which shows its parent at
    /// the release, may still arrive.
    pub(crate) fn awaits_callback(&self, group: Ix<Group>, now: Ktime) -> bool {
        let open = self.store.pending_reparent(&self.store[group]);
        open.is_some_and(|open| now.since(open.first.ctx.at) < CALLBACK_WITHIN_NS)
    }

    /// Returns dead children of dead parents that may have been released already, with the time since when that is uncertain. A
    /// [`Snapshot`](crate::model::record::Snapshot) of such a task settles the question; without one, it is settled after
    /// `Config::release_within`.
    #[must_use]
    pub fn doubtful(&self) -> impl DoubleEndedIterator<Item = (TaskKey, Ktime)> {
        let is_pending = |key: TaskKey| {
            let group = self.store.find(key).and_then(|ix| self.store[ix].group());
            group.is_some_and(|group| self.store[group].has(fact::PARENT_PENDING))
        };
        self.reconcile
            .pending_reparents
            .iter()
            .filter(move |&&(_, key)| is_pending(key))
            .map(|&(at, key)| (key, at))
    }

    /// Emits the first `steps` reparentings. The last one leads to the parent that a record shows, or to the present parent if no
    /// record shows one. Returns the parent from which the last of them moved the child.
    fn emit_pending_reparents(
        &mut self,
        group: Ix<Group>,
        open: &PendingReparent,
        steps: usize,
        shown: Option<TaskRef>,
        out: &mut Vec<Effect>,
    ) -> Option<GroupKey> {
        let (mut old, mut old_group) = (open.old, open.old_group);
        for (n, step) in open.steps().take(steps).enumerate() {
            let is_last = n + 1 == steps;
            let present = || shown.or_else(|| self.store.reference(self.store[group].parent()?));
            let Some(new) = (if is_last { present() } else { step.new }) else { continue };
            self.emit_reparented(group, old, old_group, new, &mut Transition::new(step.ctx, out));
            if !is_last {
                (old, old_group) = (Some(new), Some(self.group_key_of(new)));
            }
        }
        old_group
    }

    /// Concludes that the child was never reparented: its former parent reaped it.
    fn restore_parent(&mut self, group: Ix<Group>, parent: Option<GroupKey>) {
        self.store.set_unlinked_parent(group, parent);
        self.store[group].set(IGNORED, false);
    }

    /// Applies the parent at the release, which the RCU callback shows. The memory of that parent may have been reused by then,
    /// so a parent that is not in the tree is ignored. Returns false if the group is gone: see [`Lineage::still_leads`].
    #[must_use]
    pub(crate) fn learn_parent_at_free(
        &mut self,
        group: Ix<Group>,
        parent: Option<TaskRef>,
        t: &mut Transition<'_>,
    ) -> bool {
        let parent = parent.filter(|parent| self.store.find(parent.key).is_some());
        if !self.resolve_pending_reparent(group, parent, t.ctx.at, t.out) {
            return false;
        }
        let Some(parent) = parent else { return true };
        let Some(ix) = self.store.find(parent.key) else { return true };
        let is_gone = self.store[ix].state() >= TaskState::Zombie;
        let is_other = self.store[group].parent_key().is_none_or(|known| known.tgid != parent.tgid);
        if is_gone && is_other && self.store[ix].key().tid == parent.tgid.leader() {
            // Only the tree reparented the child: the former parent had reaped it before.
            self.stats.contradictory += 1;
            self.restore_parent(group, Some(GroupKey { tgid: parent.tgid, start: Some(parent.key.start) }));
        } else if !is_gone {
            return self.learn_parent(group, Some(parent), t).is_some();
        }
        true
    }

    /// Concludes that the child was reparented to the parent that it has in the tree.
    pub(crate) fn confirm_pending_reparent(&mut self, group: Ix<Group>, out: &mut Vec<Effect>) {
        if let Some(open) = self.take_pending(group) {
            self.emit_pending_reparents(group, &open, open.steps().count(), None, out);
        }
    }

    /// Concludes that children that still exist after an RCU grace period were reparented.
    pub(crate) fn confirm_pending_reparents(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        while let Some(&(at, key)) = self.reconcile.pending_reparents.front() {
            if u128::from(now.since(at)) < self.config.release_within.as_nanos() {
                break;
            }
            self.reconcile.pending_reparents.pop_front();
            let Some(group) = self.store.find(key).and_then(|ix| self.store[ix].group()) else { continue };
            self.confirm_pending_reparent(group, out);
        }
    }
}
