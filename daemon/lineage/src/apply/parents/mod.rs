//! Parents and orphans: `forget_original_parent()` in kernel/exit.c, and what records show of it.
//!
//! | file | what |
//! |---|---|
//! | `reparent` | a reparenting that a hook reported |
//! | `new_reaper` | the kernel's rule for the new parent, `find_new_reaper()` |
//! | `late_reaper` | a new reaper whose record is read after its tid was used again |
//! | `orphans` | reparents the children of an exiting task |
//! | `pending_reparent` | children that may have been reaped before their parent died |
//! | `parent` | what a record shows of a group's parent |

pub(crate) mod late_reaper;
pub(crate) mod new_reaper;
pub(crate) mod orphans;
pub(crate) mod parent;
pub(crate) mod pending_reparent;
pub(crate) mod reparent;
