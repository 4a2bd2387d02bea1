//! A task is moved to another cgroup, as service managers and container runtimes do with what they have forked.

use super::Lineage;
use super::effect::Effect;
use super::id::Ktime;
use super::record::{CgroupAttached, Place};
use super::view::Told;

impl Lineage {
    /// A process is where its leader is: a move of another thread changes nothing.
    pub(super) fn on_cgroup_attached(&mut self, at: Ktime, attached: &CgroupAttached, out: &mut Vec<Effect>) {
        let Some((ix, group)) = self.subject(attached.task, Told::observed(at), out) else { return };
        if self.groups[group].leader != Some(ix) {
            return;
        }
        let place = Place { cgroup_id: attached.cgroup_id, ..Place::default() };
        self.learn_place(ix, &place, at);
        let rare = self.rare(group);
        rare.attached_at = at.max(rare.attached_at);
    }
}
