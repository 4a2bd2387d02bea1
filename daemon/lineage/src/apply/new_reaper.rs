//! Who inherits the children of a dying task, by the kernel's own rule.

use super::Lineage;
use super::arena::Ix;
use super::group::{Group, fact};
use super::id::Tid;
use super::task::{Task, TaskState};
use super::view::Told;

/// The first process of the initial pid namespace.
pub(super) const INIT: Tid = Tid(1);

impl Lineage {
    /// The kernel's rule, `find_new_reaper()`: a live thread of the same group, else the nearest subreaper above in the same
    /// namespace, else the namespace's init. Who is a subreaper is known only of those that were seen to adopt.
    pub(super) fn heir_by_rule(&self, dying: Ix<Task>, told: Told) -> Option<Ix<Task>> {
        let group = self.tasks[dying].group?;
        // Where the function hooks are in use, a handing on to another group is seen: what was not stayed in the group.
        let is_seen = self.sees_reparenting || (told.hook.is_some() && !told.is_by_tracepoint());
        let states = if is_seen { TaskState::Zombie } else { TaskState::Exiting };
        let sibling = self.live_thread(group, dying, TaskState::Exiting);
        if let Some(thread) = sibling.or_else(|| self.live_thread(group, dying, states)) {
            return Some(thread);
        }
        if self.subreapers > 0
            && let Some(thread) = self.nearest_subreaper(group, dying)
        {
            return Some(thread);
        }
        let members = &self.groups[group];
        let is_nested = members.has(fact::NAMESPACE) && members.namespace_level > 0;
        let own_init = if is_nested { self.namespace_init(members.namespace) } else { None };
        [own_init, self.holder(INIT)].into_iter().flatten().find_map(|init| {
            let inits = self.tasks[init].group.filter(|&inits| inits != group)?;
            self.live_thread(inits, dying, TaskState::Exiting)
        })
    }

    /// For a child whose parent was gone before it was heard of.
    pub(super) fn heir_of_the_gone(&self) -> Option<Ix<Task>> {
        self.holder(INIT).filter(|&init| self.tasks[init].state < TaskState::Zombie)
    }

    fn nearest_subreaper(&self, group: Ix<Group>, dying: Ix<Task>) -> Option<Ix<Task>> {
        let level = |group: &Group| group.has(fact::NAMESPACE).then_some(group.namespace_level);
        let own_level = level(&self.groups[group]);
        let mut ancestor = self.parents_of(group);
        while let Some(above) = ancestor {
            let members = &self.groups[above];
            let is_elsewhere = level(members).is_some_and(|level| own_level.is_some_and(|own| own != level));
            if members.tgid == 0 || is_elsewhere {
                return None;
            }
            if members.has(fact::SUBREAPER)
                && let Some(thread) = self.live_thread(above, dying, TaskState::Exiting)
            {
                return Some(thread);
            }
            ancestor = self.parents_of(above);
        }
        None
    }

    /// `find_alive_thread()`: the first thread that is not exiting, or not in another `state` or beyond.
    pub(super) fn live_thread(
        &self,
        group: Ix<Group>,
        dying: Ix<Task>,
        state: TaskState,
    ) -> Option<Ix<Task>> {
        self.members(group).find(|&ix| ix != dying && self.tasks[ix].state < state)
    }
}
