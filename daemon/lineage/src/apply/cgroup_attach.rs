//! Moves of tasks to another cgroup; service managers and container runtimes move the processes that they fork.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::id::Ktime;
use crate::model::record::{CgroupAttached, TaskPlace};

impl Lineage {
    /// Applies a move. The cgroup of a process is that of its leader, so a move of another thread changes nothing.
    pub(crate) fn on_cgroup_attached(&mut self, at: Ktime, attached: &CgroupAttached, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some((ix, group)) = self.resolve_or_create(attached.task, t) else { return };
        if self.store[group].leader() != Some(ix) {
            return;
        }
        let place = TaskPlace { cgroup_id: attached.cgroup_id, ..TaskPlace::default() };
        self.learn_place(ix, &place, at);
        let rare = self.store.rare(group);
        rare.attached_at = at.max(rare.attached_at);
        self.begin_scopes_of(group, t);
    }
}
