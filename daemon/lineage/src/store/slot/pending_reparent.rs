//! A reparenting that may not have taken place.

use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, TaskRef};

/// A reparenting that may not have taken place: the parent may have reaped the child before it died.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingReparent {
    /// The exiting parent.
    pub(crate) old: Option<TaskRef>,
    /// Its group.
    pub(crate) old_group: Option<GroupKey>,
    /// Bits of [`fact`](super::group::fact): whether the parent ignores SIGCHLD, as the child's exit showed.
    pub(crate) ignored: u32,
    /// The parent that adopted the child, if it was not reaped.
    pub(crate) first: ReparentStep,
    /// Further parents, if the new parents died too.
    pub(crate) further: Vec<ReparentStep>,
}

/// One new parent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReparentStep {
    /// The new parent; `None` if its start is not known.
    pub(crate) new: Option<TaskRef>,
    pub(crate) ctx: EventContext,
}

impl PendingReparent {
    /// Returns the new parents in order.
    pub(crate) fn steps(&self) -> impl Iterator<Item = ReparentStep> {
        std::iter::once(self.first).chain(self.further.iter().copied())
    }

    /// Returns how many steps lead to a process; `None` if none does.
    pub(crate) fn steps_to(&self, parent: TaskRef) -> Option<usize> {
        let is_it = |step: ReparentStep| step.new.is_some_and(|new| new.tgid == parent.tgid);
        self.steps().position(is_it).map(|before| before + 1)
    }
}
