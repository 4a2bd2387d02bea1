//! Applies reparentings that a hook in `forget_original_parent()` reported.

use crate::Lineage;
use crate::apply::parents::new_reaper::INIT;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::flags::SIGCHLD;
use crate::model::id::{GroupKey, Ktime, TaskRef, Tgid};
use crate::model::kinds::ReparentKind;
use crate::model::record::Reparented;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

impl Lineage {
    pub(crate) fn on_reparented(&mut self, at: Ktime, reparented: &Reparented, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some((child, group)) = self.resolve_or_create(reparented.child, t) else { return };
        self.store.set_seen_running(child, at);
        self.reconcile.sees_reparenting = true;
        if self.store[group].leader() != Some(child) {
            // Only leaders are linked to a parent; other threads share the parent of their leader.
            self.stats.contradictory += 1;
            return;
        }
        // A child that is reparented still exists.
        self.store.confirm_zombie(child, group);
        let known = &self.store[group];
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
        let living = self.resolve_or_create_living(reparented.new_parent, t);
        if !self.still_leads(child, group) {
            return;
        }
        let Some(parent) = living else {
            self.stats.contradictory += 1;
            return;
        };
        let old_parent = reparented.old_parent.or_else(|| self.store.parent_ref(group));
        let is_reported = is_inferred && self.store[group].parent() == Some(parent);
        self.store.advance_parent_at(group, at);
        self.store[group].set(fact::PARENT_INFERRED, false);
        if is_reported {
            self.stats.late += 1;
        } else {
            self.reparent(group, old_parent, parent, t);
        }
    }

    /// Moves a child to its new parent and emits that.
    pub(crate) fn reparent(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        parent: Ix<Task>,
        t: &mut Transition<'_>,
    ) {
        // A record shows the child leaving this parent, so an open reparenting to this parent did take place.
        self.confirm_pending_reparent(group, t.out);
        let first_parent = self.store[group].parent_key();
        if self.store.link_child(group, parent) {
            let Some(new) = self.store.reference(parent) else { return };
            self.emit_reparented(group, old, first_parent, new, t);
        } else {
            self.stats.contradictory += 1;
        }
    }

    /// Emits that a child was reparented.
    pub(crate) fn emit_reparented(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        first_parent: Option<GroupKey>,
        new_parent: TaskRef,
        t: &mut Transition<'_>,
    ) {
        let Some(leader) = self.store[group].leader() else { return };
        let kind = self.reparent_kind(group, old.map(|old| old.tgid), new_parent);
        if kind != ReparentKind::SiblingThread {
            self.reset_exit_signal(group);
            let extra = self.store.extra(group);
            extra.set_first_parent(extra.first_parent().or(first_parent));
            extra.reparented += 1;
            extra.reparented_at = t.ctx.at;
            extra.reparent_kind = Some(kind);
            self.store.note_adopted(group, t.ctx.at);
        } else if let Some(old) = old
            && self.store.rare_of(&self.store[group]).is_none_or(|rare| rare.forked_by.is_none())
        {
            self.store.rare(group).forked_by = Some((old, t.ctx.at));
        }
        // The end of this child has been emitted, so its reparenting is not emitted.
        if self.store[leader].state() < TaskState::Dead {
            let is_built = self.emit(t, leader, Action::Reparented { old_parent: old, new_parent, kind });
            if is_built && let Some(effect) = t.out.last_mut() {
                // The child may have been reparented since.
                effect.process.parent = Some(self.group_key_of(new_parent));
            }
        }
    }

    /// Sets the exit signal to SIGCHLD: an exec and a reparenting replace the signal that clone(2) asked for.
    pub(crate) fn reset_exit_signal(&mut self, group: Ix<Group>) {
        self.store[group].set_exit_signal(SIGCHLD);
    }

    fn reparent_kind(&mut self, group: Ix<Group>, old: Option<Tgid>, new_parent: TaskRef) -> ReparentKind {
        if old == Some(new_parent.tgid) {
            return ReparentKind::SiblingThread;
        }
        if new_parent.tgid.leader() == INIT {
            return ReparentKind::Init;
        }
        let parents = self.store.find(new_parent.key).and_then(|parent| self.store[parent].group());
        let Some(parents) = parents else { return ReparentKind::Subreaper };
        let child = &self.store[group];
        let own_init = if child.has(fact::NAMESPACE) {
            self.store.namespace_init(self.store.profile_of(child).namespace)
        } else {
            None
        };
        let is_own_init = own_init.is_some_and(|init| self.store[init].group() == Some(parents));
        if is_own_init || self.store.is_namespace_init(parents) {
            return ReparentKind::NamespaceInit;
        }
        self.store.set_subreaper(parents);
        ReparentKind::Subreaper
    }

    /// Whether a record names the parent that the tree has.
    fn is_parent(&self, group: Ix<Group>, parent: TaskRef) -> bool {
        self.store[group].parent().is_some_and(|known| self.store[known].key() == parent.key)
    }
}
