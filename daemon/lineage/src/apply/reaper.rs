//! Who ran `release_task()` on a task, in relation to it.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Reaper, ReaperKind};
use super::group::{Group, fact};
use super::id::{GroupKey, TaskKey, Tgid};
use super::record::{ReleaseSource, Released};
use super::task::{Task, TaskState, known};

/// The relations between a released task and its reaper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// The released task's group.
    pub group: Option<Tgid>,
    /// Its `real_parent`'s group.
    pub parent: Option<Tgid>,
    /// Its tracer's group.
    pub tracer: Option<Tgid>,
    /// The reaper's group.
    pub by: Option<Tgid>,
    /// The reaper is in `do_exit()`.
    pub by_is_dying: bool,
    /// The reaper is the init of the released task's pid namespace.
    pub by_is_namespace_init: bool,
}

impl ReaperKind {
    /// Tells the kind by the relations.
    #[must_use]
    pub fn of(relation: &Relation) -> Self {
        let is = |who: Option<Tgid>| relation.by.is_some() && who == relation.by;
        if is(relation.group) {
            Self::Itself
        } else if relation.by_is_dying && relation.by_is_namespace_init {
            Self::NamespaceInit
        } else if is(relation.parent) {
            Self::Parent
        } else if is(relation.tracer) {
            Self::Tracer
        } else if relation.by_is_dying {
            Self::DyingFather
        } else {
            Self::Other
        }
    }
}

impl Lineage {
    /// Who released a task, by the record; `None` if the record does not say.
    pub(super) fn reaper_of(&self, group: Ix<Group>, released: &Released) -> Option<Reaper> {
        let by = released.by?;
        let members = &self.groups[group];
        let by_task = self.find(by.key);
        let by_group = by_task.and_then(|by| self.tasks[by].group).map(|group| &self.groups[group]);
        let kind = if released.de_thread {
            ReaperKind::DeThread
        } else if released.source == ReleaseSource::SecondTurn {
            ReaperKind::Itself
        } else {
            let tracer = match released.tracer {
                Some(tracer) => tracer,
                None => members.rare.and_then(|rare| self.rares[rare].tracer),
            };
            let parent = released.parent.map(|parent| parent.tgid);
            let namespace = members.has(fact::NAMESPACE).then_some(members.namespace);
            ReaperKind::of(&Relation {
                group: Some(Tgid(members.tgid)),
                parent: parent.or_else(|| members.parent_key().map(|parent| parent.tgid)),
                tracer: tracer.map(|tracer| tracer.tgid),
                by: Some(by.tgid),
                by_is_dying: by_task.is_some_and(|by| self.tasks[by].state >= TaskState::Exiting),
                by_is_namespace_init: by_task.is_some()
                    && namespace.is_some_and(|namespace| self.namespace_init(namespace) == by_task),
            })
        };
        let process = by_group.map_or(GroupKey { tgid: by.tgid, start: None }, Group::key);
        let name = by_task.and_then(|by| self.process_name(by));
        Some(Reaper { task: Some(by), process, name, kind })
    }

    /// Who must have taken a zombie where no record says: its parent.
    pub(super) fn reaper_by_rule(&self, group: Ix<Group>) -> Option<Reaper> {
        let members = &self.groups[group];
        let taker = members.rare.and_then(|rare| self.rares[rare].taker);
        let process = taker.or(members.parent_key())?;
        let name = if let (Some(parent), None) = (members.parent, taker) {
            self.process_name(parent)
        } else {
            // It has died since, and is still remembered.
            let leader =
                process.start.and_then(|start| self.find(TaskKey { tid: process.tgid.leader(), start }));
            leader
                .map(|leader| &self.tasks[leader])
                .filter(|leader| leader.knows(known::COMM))
                .map(|leader| leader.comm)
        };
        let kind = if taker.is_some() { ReaperKind::DyingFather } else { ReaperKind::Parent };
        Some(Reaper { task: None, process, name, kind })
    }

    /// The init of a pid namespace.
    pub(super) fn namespace_init(&self, namespace: u32) -> Option<Ix<Task>> {
        self.namespaces.get(&namespace).and_then(|&group| self.groups[group].leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(by: u32) -> Relation {
        Relation {
            group: Some(Tgid(10)),
            parent: Some(Tgid(5)),
            tracer: Some(Tgid(7)),
            by: Some(Tgid(by)),
            ..Relation::default()
        }
    }

    #[test]
    fn a_parents_wait_is_told_from_a_tracers() {
        assert_eq!(ReaperKind::of(&relation(5)), ReaperKind::Parent);
        assert_eq!(ReaperKind::of(&relation(7)), ReaperKind::Tracer);
        assert_eq!(ReaperKind::of(&relation(10)), ReaperKind::Itself);
        assert_eq!(ReaperKind::of(&relation(3)), ReaperKind::Other);
    }

    #[test]
    fn a_dying_father_is_no_longer_the_parent() {
        let father = Relation { by_is_dying: true, ..relation(3) };
        assert_eq!(ReaperKind::of(&father), ReaperKind::DyingFather);
    }

    #[test]
    fn a_namespace_init_reaps_as_such_only_in_its_own_death() {
        let alive = Relation { by_is_namespace_init: true, ..relation(5) };
        assert_eq!(ReaperKind::of(&alive), ReaperKind::Parent);
        assert_eq!(ReaperKind::of(&Relation { by_is_dying: true, ..alive }), ReaperKind::NamespaceInit);
    }
}
