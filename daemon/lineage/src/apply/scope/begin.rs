//! A cgroup gets its first task. The cgroup's record comes before the record of that task, so the task is not known yet.

use std::sync::Arc;

use super::memory::{Beginning, WAITING};
use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::Action;
use crate::model::id::Ktime;
use crate::model::scope::{CgroupChanged, Scope, ScopeMember};
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

impl Lineage {
    pub(super) fn populated(&mut self, at: Ktime, changed: &CgroupChanged, t: &mut Transition<'_>) {
        let id = changed.cgroup_id;
        let Some(open) = self.scopes.open(id) else { return };
        let named = Scope {
            cgroup_id: id,
            parent_id: changed.parent_id,
            name: changed.name.clone(),
            made: open.scope.made,
            ..Scope::default()
        };
        let had_death = open.scope.first_death.is_some();
        (open.scope, open.is_populated, open.last_exit, open.below) = (named, true, None, None);
        open.scope.began = Some(at);
        let named = open.scope.clone();
        self.scopes.with_death -= usize::from(had_death);
        let past = self.scopes.count_start(&named);
        if let Some(open) = self.scopes.open(id) {
            open.scope.starts = past.starts;
            open.scope.empty_ns = past.ended.map(|ended| at.since(ended));
        }
        let is_full = self.scopes.beginning.len() >= WAITING;
        let oldest = self.scopes.beginning.extract_if(.., |_| is_full).next();
        if let Some(oldest) = oldest {
            self.emit_beginning(oldest, None, t);
        }
        self.scopes.beginning.push(Beginning { cgroup_id: id, at, actor: changed.actor });
    }

    /// Emits the beginnings of the cgroups in which this process is the first one.
    pub(crate) fn begin_scopes_of(&mut self, group: Ix<Group>, t: &mut Transition<'_>) {
        if self.scopes.beginning.is_empty() {
            return;
        }
        let Some(number) = self.store.cgroup_of(&self.store[group]) else { return };
        let scopes = &mut self.scopes;
        let (due, left) = std::mem::take(&mut scopes.beginning)
            .into_iter()
            .partition(|it| scopes.is_within(number, it.cgroup_id));
        scopes.beginning = left;
        let member = self.scope_member(group);
        for beginning in due {
            self.emit_beginning(beginning, Some(member), t);
        }
    }

    /// Emits a beginning; `first` is `None` if the record of that process did not arrive.
    pub(super) fn emit_beginning(
        &mut self,
        due: Beginning,
        first: Option<ScopeMember>,
        t: &mut Transition<'_>,
    ) {
        let Some(open) = self.scopes.open.get_mut(&due.cgroup_id) else { return };
        if open.scope.began != Some(due.at) {
            return;
        }
        open.scope.first = first;
        let scope = Arc::new(open.scope.clone());
        let subject = first.or_else(|| due.actor.and_then(|actor| self.member_of(actor)));
        self.emit_scope(t, subject, &scope, Action::ScopeBegan(Arc::clone(&scope)));
    }

    /// Forgets older deaths in the cgroups of a new process: they did not lead to the end of the cgroup.
    pub(crate) fn note_birth_in_scope(&mut self, group: Ix<Group>, at: Ktime) {
        if self.scopes.with_death == 0 {
            return;
        }
        let Some(number) = self.store.cgroup_of(&self.store[group]) else { return };
        self.scopes.forget_deaths(number, at);
    }
}
