//! `forget_original_parent()`: whose children become whose.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect, ReparentKind};
use super::flags::SIGCHLD;
use super::group::{Group, fact};
use super::heir::INIT;
use super::id::{GroupKey, Ktime, TaskRef, Tgid};
use super::record::Reparented;
use super::task::{Task, TaskState};
use super::view::Told;

impl Lineage {
    pub(super) fn on_reparented(&mut self, at: Ktime, reparented: &Reparented, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some((child, group)) = self.subject(reparented.child, told, out) else { return };
        self.seen_running(child, at);
        self.sees_reparenting = true;
        if self.groups[group].leader != Some(child) {
            // Only leaders hang on a parent; threads follow theirs.
            self.stats.contradictory += 1;
            return;
        }
        // Whoever is handed on is there.
        self.confirm(child, group);
        let known = &self.groups[group];
        let is_inferred = known.has(fact::PARENT_INFERRED);
        let shown_at = self.parent_shown_at(group);
        if known.has(fact::PARENT) && shown_at >= at {
            if shown_at == at && self.is_parent(group, reparented.new_parent) {
                self.stats.duplicate += 1;
            } else {
                self.stats.late += 1;
            }
            return;
        }
        let Some(parent) = self.living(reparented.new_parent, told, out) else {
            self.stats.contradictory += 1;
            return;
        };
        let old_parent = reparented.old_parent.or_else(|| self.parent_ref(group));
        let is_told = is_inferred && self.groups[group].parent == Some(parent);
        self.groups[group].parent_at = at.max(self.groups[group].parent_at);
        self.groups[group].set(fact::PARENT_INFERRED, false);
        if is_told {
            self.stats.late += 1;
        } else {
            self.hand_on(group, old_parent, parent, told, out);
        }
    }

    /// Moves a child to its new parent and tells it.
    pub(super) fn hand_on(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        parent: Ix<Task>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        // Seen with the parent it leaves now, it had come to it.
        self.settle_handover(group, out);
        let first_parent = self.groups[group].parent_key();
        if self.adopt(group, parent) {
            let Some(new) = self.reference(parent) else { return };
            self.tell_handover(group, old, first_parent, new, told, out);
        } else {
            self.stats.contradictory += 1;
        }
    }

    /// Tells that a child was handed on.
    pub(super) fn tell_handover(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        first_parent: Option<GroupKey>,
        new_parent: TaskRef,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let Some(leader) = self.groups[group].leader else { return };
        let kind = self.reparent_kind(group, old.map(|old| old.tgid), new_parent);
        if kind != ReparentKind::SiblingThread {
            self.reset_exit_signal(group);
            let extra = self.extra(group);
            extra.set_first_parent(extra.first_parent().or(first_parent));
            extra.reparented += 1;
            extra.reparented_at = told.at;
            extra.reparent_kind = Some(kind);
        } else if let Some(old) = old
            && self.rare_of(&self.groups[group]).is_none_or(|rare| rare.forked_by.is_none())
        {
            self.rare(group).forked_by = Some((old, told.at));
        }
        // A child on its way out is nobody's concern any more.
        if self.tasks[leader].state < TaskState::Dead {
            self.tell(out, leader, told, Action::Reparented { old_parent: old, new_parent, kind });
        }
    }

    /// Whatever signal clone(2) asked for, from an exec and from a reparenting on the parent gets the usual.
    pub(super) fn reset_exit_signal(&mut self, group: Ix<Group>) {
        self.groups[group].exit_signal = SIGCHLD;
        self.groups[group].set(fact::EXIT_SIGNAL, true);
    }

    fn reparent_kind(&mut self, group: Ix<Group>, old: Option<Tgid>, new_parent: TaskRef) -> ReparentKind {
        if old == Some(new_parent.tgid) {
            return ReparentKind::SiblingThread;
        }
        if new_parent.tgid.leader() == INIT {
            return ReparentKind::Init;
        }
        let parents = self.find(new_parent.key).and_then(|parent| self.tasks[parent].group);
        let Some(parents) = parents else { return ReparentKind::Subreaper };
        let child = &self.groups[group];
        let own_init = if child.has(fact::NAMESPACE) {
            self.namespace_init(self.profiles.get(child.profile).namespace)
        } else {
            None
        };
        let is_own_init = own_init.is_some_and(|init| self.tasks[init].group == Some(parents));
        if is_own_init || self.is_namespace_init(parents) {
            return ReparentKind::NamespaceInit;
        }
        if !self.groups[parents].has(fact::SUBREAPER) {
            self.groups[parents].set(fact::SUBREAPER, true);
            self.subreapers += 1;
        }
        ReparentKind::Subreaper
    }

    pub(super) fn is_namespace_init(&self, group: Ix<Group>) -> bool {
        let members = &self.groups[group];
        let is_first = members.leader.is_some_and(|leader| self.tasks[leader].vtid == 1);
        members.has(fact::NAMESPACE) && self.profiles.get(members.profile).namespace_level > 0 && is_first
    }

    /// Whether a record names the parent that the tree has.
    fn is_parent(&self, group: Ix<Group>, parent: TaskRef) -> bool {
        self.groups[group].parent.is_some_and(|known| self.tasks[known].key == parent.key)
    }

    /// A group's parent as records name tasks.
    pub(super) fn parent_ref(&self, group: Ix<Group>) -> Option<TaskRef> {
        self.reference(self.groups[group].parent?)
    }
}
