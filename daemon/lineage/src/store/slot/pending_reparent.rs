//! A reparenting that may not have taken place.

use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, TaskRef};

/// A reparenting that may not have taken place: the parent may have reaped the child before it died.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingReparent {
    /// The dying parent.
    pub(crate) old: Option<TaskRef>,
    /// Its group.
    pub(crate) old_group: Option<GroupKey>,
    /// Whether it ignores SIGCHLD, as the child's exit showed it.
    pub(crate) ignored: u32,
    /// Whose child it became, if it was not reaped.
    pub(crate) first: ReparentStep,
    /// And then, as each new parent died in its turn.
    pub(crate) further: Vec<ReparentStep>,
}

/// One new parent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReparentStep {
    /// Who; `None` if its start is not known.
    pub(crate) new: Option<TaskRef>,
    pub(crate) ctx: EventContext,
}

impl PendingReparent {
    /// The new parents in turn.
    pub(crate) fn steps(&self) -> impl Iterator<Item = ReparentStep> {
        std::iter::once(self.first).chain(self.further.iter().copied())
    }

    /// How many steps lead to a process; `None` if none does.
    pub(crate) fn steps_to(&self, parent: TaskRef) -> Option<usize> {
        let is_it = |step: ReparentStep| step.new.is_some_and(|new| new.tgid == parent.tgid);
        self.steps().position(is_it).map(|before| before + 1)
    }
}
