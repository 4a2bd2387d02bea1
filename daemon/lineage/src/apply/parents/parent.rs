//! Compares the parent that a record shows with the parent in the tree.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::id::{Ktime, TaskRef};
use crate::model::kinds::Provenance;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Applies the parent that a record shows at its time. A difference from the tree means a reparenting that was not seen. Returns
    /// false if the group has another parent by now, `None` if the group is gone: see [`Lineage::still_leads`].
    #[must_use]
    pub(crate) fn learn_parent(
        &mut self,
        group: Ix<Group>,
        parent: Option<TaskRef>,
        t: &mut Transition<'_>,
    ) -> Option<bool> {
        let Some(reference) = parent else { return Some(true) };
        if self.still_has(group, reference, t.ctx.at) {
            self.store.advance_parent_at(group, t.ctx.at);
            return Some(true);
        }
        let leader = self.store[group].leader()?;
        let child = &self.store[group];
        let (is_known, is_inferred) = (child.has(fact::PARENT), child.has(fact::PARENT_INFERRED));
        if is_known && child.parent_at() > t.ctx.at {
            let is_same = child.parent_tgid() == reference.tgid.0;
            // A snapshot can be the first to name the thread that adopted the child.
            let is_in_snapshot = t.ctx.provenance != Provenance::Observed;
            let is_refuted = is_inferred
                && (t.ctx.at > self.parent_shown_at(group) || self.was_shown_in(group, reference))
                && (self.has_living_group(reference)
                    || (is_in_snapshot && self.resolve_or_create_living(reference, t).is_some()));
            if !self.still_leads(leader, group) {
                return None;
            }
            if !is_refuted {
                return Some(is_same);
            }
        }
        // The record repeats a parent that is already known to be dead; nothing changes.
        let child = &self.store[group];
        if is_known && child.parent().is_none() && child.parent_tgid() == reference.tgid.0 {
            return Some(true);
        }
        let living = self.resolve_or_create_living(reference, t);
        if !self.still_leads(leader, group) {
            return None;
        }
        let Some(parent) = living else {
            // The parent has died since then, so the child has another parent now.
            let dead = self.store.find(reference.key);
            // If the kernel counted threads of its group that no record has shown, one of them has the child now.
            let shown = dead.and_then(|dead| self.new_reaper_shown(dead, t.ctx.at));
            let shown = shown.and_then(|new_reaper| self.resolve_or_create_living(new_reaper, t));
            if !self.still_leads(leader, group) {
                return None;
            }
            let stays = dead.filter(|&dead| shown.is_none() && self.keeps_children(dead, t.ctx.at));
            let by_rule = || dead.and_then(|dead| self.new_reaper_by_rule(dead, t.ctx));
            let new_reaper = shown.or(stays).or_else(by_rule).or_else(|| self.init_if_alive());
            if is_known {
                return Some(self.store[group].parent_tgid() == reference.tgid.0);
            }
            let Some(new_reaper) = new_reaper else { return Some(true) };
            self.store[group].set(fact::PARENT_INFERRED, true);
            self.store.link_child(group, new_reaper);
            if stays.is_none() {
                self.reset_exit_signal(group);
            }
            return Some(stays.is_some());
        };
        self.store.advance_parent_at(group, t.ctx.at);
        let child = &mut self.store[group];
        child.set(fact::PARENT_INFERRED, false);
        if child.parent() == Some(parent) {
            return Some(true);
        }
        let is_guess_of_thread = is_inferred && child.parent_tgid() == reference.tgid.0;
        if !is_known || is_guess_of_thread {
            if !self.store.link_child(group, parent) {
                self.stats.contradictory += 1;
            }
            return Some(true);
        }
        match t.ctx.provenance {
            Provenance::Observed => self.stats.parents_corrected += 1,
            _ => self.stats.wrong_parents += 1,
        }
        let old_parent = if is_inferred && self.was_shown_in(group, reference) {
            // The child never left that process, so the concluded reparenting did not take place.
            self.take_back_reparenting(group);
            Some(reference)
        } else {
            self.store.parent_ref(group)
        };
        self.reparent(group, old_parent, parent, t);
        Some(true)
    }

    /// Whether a record only repeats the parent that the tree has: nothing was concluded about it, no later record has shown another,
    /// and it lives. This is what nearly every record shows, and no task must be looked up for it.
    fn still_has(&self, group: Ix<Group>, reference: TaskRef, at: Ktime) -> bool {
        const SHOWN: u32 = fact::PARENT | fact::PARENT_INFERRED;
        let child = &self.store[group];
        let Some(parent) = child.parent() else { return false };
        let task = &self.store[parent];
        self.takes_shortcuts
            && child.facts() & SHOWN == fact::PARENT
            && child.parent_at() <= at
            && child.leader().is_some()
            && task.key() == reference.key
            && task.knows(known::START)
            && task.state() < TaskState::Zombie
    }

    /// Whether a group still exists after another task, such as a parent, was resolved. Resolving a task can conclude that the
    /// former owner of its tid, or of its leader's tid, has ended. If a record contradicts itself, that owner can be the group
    /// that the record is about. The slot of that group is then free or reused; the slot of its leader stays until the record is
    /// applied. Counts a contradiction if the group is gone.
    pub(crate) fn still_leads(&mut self, leader: Ix<Task>, group: Ix<Group>) -> bool {
        let is_there = self.store[leader].group() == Some(group);
        self.stats.contradictory += u64::from(!is_there);
        is_there
    }

    /// Returns the new reaper, in another process, to which the children of a dead task went when it died; `None` for a record
    /// that is older than the death.
    fn new_reaper_shown(&self, dead: Ix<Task>, seen_at: Ktime) -> Option<TaskRef> {
        let task = &self.store[dead];
        let (of, new_reaper) = self.store.rare_of(&self.store[task.group()?])?.new_reaper?;
        (of == task.key() && seen_at <= task.since).then_some(new_reaper)
    }

    /// Whether a dead parent's children are still in its process. They are if the kernel counted threads there that no record has
    /// shown. They also are if a record shows the parent with the child after the parent's death: then another thread has taken
    /// its place.
    fn keeps_children(&self, dead: Ix<Task>, seen_at: Ktime) -> bool {
        let task = &self.store[dead];
        let Some(group) = task.group() else { return false };
        let members = &self.store[group];
        let hidden = self.store.hidden_threads(members);
        let is_taken_over = members.leader() == Some(dead) && task.since < seen_at;
        !members.has(fact::SOLE) && (is_taken_over || hidden.is_some_and(|hidden| hidden > 0))
    }

    fn take_back_reparenting(&mut self, group: Ix<Group>) {
        let extra = self.store.extra(group);
        extra.reparented = extra.reparented.saturating_sub(1);
        if extra.reparented == 0 {
            extra.set_first_parent(None);
            (extra.reparent_kind, extra.reparented_at) = (None, Ktime(0));
        }
    }

    /// Returns the task that a record names as a parent, if it can still be a parent. A dead leader counts, because another
    /// thread of its group may be in an exec.
    pub(crate) fn resolve_or_create_living(
        &mut self,
        reference: TaskRef,
        t: &mut Transition<'_>,
    ) -> Option<Ix<Task>> {
        let named = self.resolve_or_create_named(reference, t);
        if let Some(named) = named.filter(|&named| self.store[named].state() < TaskState::Zombie) {
            return Some(named);
        }
        // The children of a released thread stayed in its group, and so did the children of a thread that took the leader's
        // place.
        let of_named = named.and_then(|named| self.store[named].group());
        let leader = self.store.find_current(reference.tgid.leader());
        let group = of_named.or_else(|| self.store[leader?].group())?;
        let members = &self.store[group];
        if members.tgid() != reference.tgid.0 || members.start() > reference.key.start {
            return None;
        }
        // A thread that began to exit before that task died inherited nothing from it.
        let died_at = named.map_or(Ktime(0), |named| self.store[named].since);
        self.store.members(group).find(|&ix| {
            let task = &self.store[ix];
            let can_inherit = task.state() < TaskState::Exiting
                || (task.state() == TaskState::Exiting && task.since >= died_at);
            Some(ix) != named && can_inherit
        })
    }

    /// Whether a thread of the task's group lives. If so, no child has left that group, whatever was concluded before that thread
    /// was known.
    fn has_living_group(&self, task: TaskRef) -> bool {
        let group = self.store.find_current(task.tgid.leader()).and_then(|leader| self.store[leader].group());
        group.is_some_and(|group| {
            let members = &self.store[group];
            members.tgid() == task.tgid.0
                && members.start() <= task.key.start
                && self.store.members(group).any(|ix| self.store[ix].state() < TaskState::Zombie)
        })
    }

    /// Returns when a record last showed a group's parent; an older record must not change it.
    pub(crate) fn parent_shown_at(&self, group: Ix<Group>) -> Ktime {
        let members = &self.store[group];
        if members.has(fact::PARENT_INFERRED) {
            self.store.extra_of(members).map_or(Ktime(0), |extra| extra.parent_shown_at)
        } else {
            members.parent_at()
        }
    }

    /// Prepares to conclude a group's parent: keeps what records showed of the former one.
    pub(crate) fn conclude_parent(&mut self, group: Ix<Group>) {
        let shown_at = self.parent_shown_at(group);
        let is_first = !self.store[group].has(fact::PARENT_INFERRED);
        let parents = self.store[group].parent_key().map(|parents| parents.tgid);
        let extra = self.store.extra(group);
        extra.parent_shown_at = shown_at;
        if is_first {
            extra.set_parent_shown(parents);
        }
    }

    /// Whether the parent that a record last showed for a group is a thread of `parent`'s process.
    pub(crate) fn was_shown_in(&self, group: Ix<Group>, parent: TaskRef) -> bool {
        self.store.extra_of(&self.store[group]).is_some_and(|extra| extra.parent_shown() == Some(parent.tgid))
    }
}
