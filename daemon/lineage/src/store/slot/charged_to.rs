//! To whom the figures of an ended group were added.

use crate::model::id::Tgid;

/// To whom a group's figures were passed on when it was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChargedTo {
    /// Its parent, or who waited for it: the last to have this tgid that is older than the child.
    pub(crate) to: Tgid,
    /// Whether a wait(2) took it, and so the kernel passed them on as well.
    pub(crate) by_wait: bool,
}
