//! Units, containers and sessions as the kernel sees them: cgroups that get their first task and lose their last.
//!
//! When a cgroup gets its first task, `cgroup_notify_populated` fires before the record of that task arrives. When it loses its
//! last task, the order depends on the kernel. Up to 6.18 the task leaves in `do_exit()`, where it is the current task, and the
//! record of its exit arrives later. From 6.19 on it leaves after its last switch, and its exit is already known.

mod begin;
mod end;
mod memory;
mod report;

use std::collections::HashSet;
use std::sync::Arc;

pub(crate) use self::memory::Scopes;

use self::memory::Ending;
use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::id::Ktime;
use crate::model::scope::{CgroupChange, CgroupChanged, CgroupName, Scope, ScopeEnd};

/// How long a beginning or an end waits for the record of its task, ns. A record that comes later counts as lost.
const WAIT_NS: u64 = 2_000_000_000;

impl Lineage {
    /// Sets whether the records report beginnings and ends of cgroups from now on.
    pub const fn watch_scopes(&mut self, is_watched: bool) {
        self.scopes.is_watched = is_watched;
    }

    /// Whether beginnings and ends of cgroups are reported.
    #[must_use]
    pub const fn watches_scopes(&self) -> bool {
        self.scopes.is_watched
    }

    /// Returns scopes with tasks, and then those that have ended, the last first.
    pub fn scopes(&self) -> impl Iterator<Item = Arc<Scope>> {
        self.scopes.all()
    }

    /// Returns the names of the cgroups that were created since the last call.
    pub fn take_cgroup_names(&mut self) -> impl Iterator<Item = CgroupName> {
        self.scopes.take_names()
    }

    pub(crate) fn on_cgroup_changed(&mut self, at: Ktime, changed: &CgroupChanged, out: &mut Vec<Effect>) {
        let id = changed.cgroup_id;
        if id == 0 {
            self.stats.late += 1;
            return;
        }
        if self.scopes.may_prune(at) {
            self.prune_scopes();
        }
        let actor = changed.actor.and_then(|actor| self.member_of(actor));
        let t = &mut Transition::new(EventContext::observed(at), out);
        match changed.change {
            CgroupChange::Made => {
                if let (Some(name), Some(parent_id)) = (&changed.name, changed.parent_id) {
                    let name = Arc::clone(name);
                    self.scopes.note_name(CgroupName { cgroup_id: id, parent_id, name });
                }
                if let Some(open) = self.scopes.open(id) {
                    open.scope.made = Some((at, actor));
                }
            }
            CgroupChange::Removed => {
                self.scopes.note_removal(id, at);
                if let Some(mut open) = self.scopes.close(id).filter(|open| open.is_populated) {
                    // The record of its end was lost.
                    open.scope.removed = Some(at);
                    open.scope.end = Some(ScopeEnd::Unknown);
                    self.scopes.keep(open.scope);
                }
            }
            CgroupChange::Populated => self.populated(at, changed, t),
            CgroupChange::Emptied => self.emptied(at, changed, actor, t),
        }
        if let Some(open) = self.scopes.open.get_mut(&id) {
            open.scope.parent_id = changed.parent_id.or(open.scope.parent_id);
            if changed.name.is_some() {
                open.scope.name.clone_from(&changed.name);
            }
        }
    }

    /// Emits beginnings and ends if the record of their task has not arrived in time.
    pub(crate) fn give_up_scopes(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        if self.scopes.beginning.is_empty() && self.scopes.ending.is_empty() {
            return;
        }
        let t = &mut Transition::new(EventContext::observed(now), out);
        let late: Vec<_> = self.scopes.beginning.extract_if(.., |it| now.since(it.at) > WAIT_NS).collect();
        for beginning in late {
            self.emit_beginning(beginning, None, t);
        }
        let is_late = |it: &mut Ending| it.scope.ended.is_none_or(|at| now.since(at) > WAIT_NS);
        let late: Vec<_> = self.scopes.ending.extract_if(.., is_late).collect();
        for ending in late {
            self.emit_scope_end(ending.scope, None, t);
        }
    }

    /// Forgets cgroups without processes in them or in their descendants.
    fn prune_scopes(&mut self) {
        let mut kept = HashSet::new();
        for number in self.groups().filter_map(|group| group.cgroup_id()) {
            kept.extend(self.scopes.all_of(number));
        }
        let gone: Vec<u64> = self.scopes.open.keys().filter(|id| !kept.contains(id)).copied().collect();
        for id in gone {
            self.scopes.close(id);
        }
    }
}
