//! How the task that ran `release_task()` is related to the released task.

use crate::model::comm::Comm;
use crate::model::id::{GroupKey, TaskRef, Tgid};
use crate::model::kinds::ReaperKind;

/// The task that released another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaper {
    /// The task that did it; `None` if only its process follows from the kernel's rules.
    pub task: Option<TaskRef>,
    /// The thread group it belongs to.
    pub process: GroupKey,
    /// Its comm.
    pub name: Option<Comm>,
    /// Its relation to the released task.
    pub kind: ReaperKind,
}

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
    /// Whether the reaper is in `do_exit()`.
    pub by_is_dying: bool,
    /// Whether the reaper is the init of the released task's pid namespace.
    pub by_is_namespace_init: bool,
}

impl ReaperKind {
    /// Returns the kind of reaper by the relations.
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
            Self::ExitingParent
        } else {
            Self::Other
        }
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
    fn a_parents_wait_is_distinguished_from_a_tracers() {
        assert_eq!(ReaperKind::of(&relation(5)), ReaperKind::Parent);
        assert_eq!(ReaperKind::of(&relation(7)), ReaperKind::Tracer);
        assert_eq!(ReaperKind::of(&relation(10)), ReaperKind::Itself);
        assert_eq!(ReaperKind::of(&relation(3)), ReaperKind::Other);
    }

    #[test]
    fn an_exiting_parent_is_no_longer_the_parent() {
        let father = Relation { by_is_dying: true, ..relation(3) };
        assert_eq!(ReaperKind::of(&father), ReaperKind::ExitingParent);
    }

    #[test]
    fn a_namespace_init_reaps_as_such_only_in_its_own_death() {
        let alive = Relation { by_is_namespace_init: true, ..relation(5) };
        assert_eq!(ReaperKind::of(&alive), ReaperKind::Parent);
        assert_eq!(ReaperKind::of(&Relation { by_is_dying: true, ..alive }), ReaperKind::NamespaceInit);
    }
}
