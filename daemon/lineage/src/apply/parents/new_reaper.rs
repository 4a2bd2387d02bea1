//! Finds the new parent of an exiting task's children by the kernel's rule.

use crate::Lineage;
use crate::model::event_context::EventContext;
use crate::model::id::Tid;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// The first process of the initial pid namespace.
pub(crate) const INIT: Tid = Tid(1);

impl Lineage {
    /// Applies the rule of `find_new_reaper()`: a live thread of the same group, else the nearest subreaper among the ancestors in the
    /// same namespace, else the namespace's init. A subreaper is known only after orphans were reparented to it.
    pub(crate) fn new_reaper_by_rule(&self, dying: Ix<Task>, ctx: EventContext) -> Option<Ix<Task>> {
        let group = self.store[dying].group()?;
        // Function hooks report each reparenting to another group. A child without such a record stayed in the group.
        let is_seen = self.reconcile.sees_reparenting || (ctx.hook.is_some() && !ctx.is_by_tracepoint());
        let states = if is_seen { TaskState::Zombie } else { TaskState::Exiting };
        let sibling = self.store.find_alive_thread(group, dying, TaskState::Exiting);
        if let Some(thread) = sibling.or_else(|| self.store.find_alive_thread(group, dying, states)) {
            return Some(thread);
        }
        if self.store.has_subreapers()
            && let Some(thread) = self.nearest_subreaper(group, dying)
        {
            return Some(thread);
        }
        let members = &self.store[group];
        let profile = self.store.profile_of(members);
        let is_nested = members.has(fact::NAMESPACE) && profile.namespace_level > 0;
        let own_init = if is_nested { self.store.namespace_init(profile.namespace) } else { None };
        [own_init, self.store.find_current(INIT)].into_iter().flatten().find_map(|init| {
            let inits = self.store[init].group().filter(|&inits| inits != group)?;
            self.store.find_alive_thread(inits, dying, TaskState::Exiting)
        })
    }

    /// Finds the new parent of a child whose parent was released before the first record of the child.
    pub(crate) fn init_if_alive(&self) -> Option<Ix<Task>> {
        self.store.find_current(INIT).filter(|&init| self.store[init].state() < TaskState::Zombie)
    }

    fn nearest_subreaper(&self, group: Ix<Group>, dying: Ix<Task>) -> Option<Ix<Task>> {
        let level =
            |group: &Group| group.has(fact::NAMESPACE).then(|| self.store.profile_of(group).namespace_level);
        let own_level = level(&self.store[group]);
        let mut ancestor = self.store.parents_of(group);
        while let Some(above) = ancestor {
            let members = &self.store[above];
            let is_elsewhere = level(members).is_some_and(|level| own_level.is_some_and(|own| own != level));
            if members.tgid() == 0 || is_elsewhere {
                return None;
            }
            if members.has(fact::SUBREAPER)
                && let Some(thread) = self.store.find_alive_thread(above, dying, TaskState::Exiting)
            {
                return Some(thread);
            }
            ancestor = self.store.parents_of(above);
        }
        None
    }
}
