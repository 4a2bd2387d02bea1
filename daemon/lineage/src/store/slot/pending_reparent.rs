//! A reparenting that may not have taken place.

use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, TaskRef};

/// A reparenting that may not have taken place: the parent may have reaped the child before it died.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PendingReparent {
    /// The dying parent.
    pub(crate) old: Option<TaskRef>,
    /// Its group.
    pub(crate) old_group: Option<GroupKey>,
    /// Whether it ignores SIGCHLD, as the child's exit showed it.
    pub(crate) ignored: u32,
    pub(crate) ctx: EventContext,
}
