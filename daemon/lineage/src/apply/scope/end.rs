//! A cgroup loses its last task: which task it was, how it left, and which deaths led to it.

use std::sync::Arc;

use super::memory::{Below, Ending, WAITING};
use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::death::GroupDeath;
use crate::model::effect::Action;
use crate::model::id::Ktime;
use crate::model::scope::{CgroupChanged, Scope, ScopeEnd, ScopeMember, hierarchies};
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// `PF_EXITING`: the task is in `do_exit()`.
const PF_EXITING: u32 = 0x4;

impl Lineage {
    pub(super) fn emptied(
        &mut self,
        at: Ktime,
        changed: &CgroupChanged,
        actor: Option<ScopeMember>,
        t: &mut Transition<'_>,
    ) {
        let id = changed.cgroup_id;
        let open = self.scopes.close(id).unwrap_or_default();
        let left = self.who_left(at, changed, open.below, open.last_exit);
        let mut scope = open.scope;
        scope.cgroup_id = id;
        scope.parent_id = changed.parent_id.or(scope.parent_id);
        if changed.name.is_some() {
            scope.name.clone_from(&changed.name);
        }
        (scope.ended, scope.end, scope.last) = (Some(at), Some(left.end), left.last);
        if let Some(above) = scope.parent_id.and_then(|above| self.scopes.open(above)) {
            above.below = Some(left);
        }
        // Its beginning was not reported yet, so it is reported now.
        let waits = self.scopes.beginning.extract_if(.., |it| it.cgroup_id == id).next();
        if let Some(beginning) = waits {
            scope.first = scope.last;
            let subject = scope.last.or_else(|| beginning.actor.and_then(|actor| self.member_of(actor)));
            let began = Arc::new(scope.clone());
            self.emit_scope(t, subject, &began, Action::ScopeBegan(Arc::clone(&began)));
        }
        match left.waits_for {
            Some(group) if self.scopes.ending.len() < WAITING => {
                self.scopes.ending.push(Ending { group, scope });
            }
            _ => self.emit_scope_end(scope, actor, t),
        }
    }

    /// Returns the process that left a cgroup last, and how it left.
    fn who_left(
        &self,
        at: Ktime,
        changed: &CgroupChanged,
        below: Option<Below>,
        last_exit: Option<ScopeMember>,
    ) -> Below {
        const SAME_NS: u64 = 1_000_000_000;
        if let Some(below) = below.filter(|below| at.since(below.at) < SAME_NS) {
            return Below { at, ..below };
        }
        let group = changed.actor.and_then(|actor| self.group_of_task(actor));
        let is_in = |group: Ix<Group>| {
            self.store.cgroup_of(&self.store[group]).is_none_or(|number| is_part(number, changed.cgroup_id))
        };
        let is_exiting = changed.actor_flags.is_some_and(|flags| flags & PF_EXITING != 0);
        if is_exiting && let Some(group) = group.filter(|&group| is_in(group)) {
            let has_ended = self.store[group].has(fact::EXIT_EMITTED);
            let waits_for = (!has_ended).then(|| self.store[group].key());
            return Below { at, end: ScopeEnd::Exited, last: Some(self.scope_member(group)), waits_for };
        }
        let is_moved = |member: &crate::GroupView<'_>| {
            member.cgroup_id().is_some_and(|number| is_part(number, changed.cgroup_id))
                && self
                    .store
                    .find_current(member.key().tgid.leader())
                    .and_then(|leader| self.store[leader].group())
                    .is_some_and(|ix| !self.store[ix].has(fact::EXIT_EMITTED))
        };
        if let Some(moved) = self.groups().find(is_moved) {
            let last = ScopeMember { key: moved.key(), name: moved.name() };
            return Below { at, end: ScopeEnd::Moved, last: Some(last), waits_for: None };
        }
        let end = if last_exit.is_some() { ScopeEnd::Exited } else { ScopeEnd::Unknown };
        Below { at, end, last: last_exit, waits_for: None }
    }

    /// Keeps a scope that ended and emits its end.
    pub(super) fn emit_scope_end(
        &mut self,
        scope: Scope,
        actor: Option<ScopeMember>,
        t: &mut Transition<'_>,
    ) {
        let scope = self.scopes.keep(scope);
        let subject = scope.last.or(actor).or(scope.first);
        self.emit_scope(t, subject, &scope, Action::ScopeEnded(Arc::clone(&scope)));
    }

    /// Notes the end of a group in its scopes, and emits the ends that waited for it.
    pub(crate) fn after_group_end_in_scope(
        &mut self,
        group: Ix<Group>,
        death: Option<&Arc<GroupDeath>>,
        t: &mut Transition<'_>,
    ) {
        if !self.scopes.is_watched {
            return;
        }
        let members = &self.store[group];
        let (key, number) = (members.key(), self.store.cgroup_of(members));
        let member = self.scope_member(group);
        let death = death.filter(|death| death.status.is_none_or(|status| status.0 != 0));
        if let Some(number) = number {
            let (unified, controller) = hierarchies(number);
            for id in [Some(unified), controller].into_iter().flatten() {
                // A cgroup that is older than taskscope.
                if self.scopes.has_room_for(id) && !self.scopes.has_ended(id) {
                    self.scopes.open(id);
                }
            }
            self.scopes.note_exit(number, member, death);
        }
        if self.scopes.ending.is_empty() {
            return;
        }
        let due: Vec<_> = self.scopes.ending.extract_if(.., |it| it.group == key).collect();
        for Ending { mut scope, .. } in due {
            if let (None, Some(death)) = (&scope.first_death, death) {
                scope.first_death = Some(Arc::clone(death));
            }
            self.emit_scope_end(scope, Some(member), t);
        }
    }
}

/// Whether a task with this cgroup number is directly in that cgroup.
const fn is_part(number: u64, id: u64) -> bool {
    let (unified, controller) = hierarchies(number);
    unified == id || matches!(controller, Some(controller) if controller == id)
}
