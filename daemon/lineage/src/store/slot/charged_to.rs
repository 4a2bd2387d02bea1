//! The process to which the usage of an ended group was added.

use crate::model::id::Tgid;

/// The process to which a group's usage was added when the group was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChargedTo {
    /// The tgid of its parent, or of the process that reaped it: the last group with this tgid that is older than the child.
    pub(crate) to: Tgid,
    /// Whether a wait(2) reaped it, so that the kernel added its usage to the parent too.
    pub(crate) by_wait: bool,
}
