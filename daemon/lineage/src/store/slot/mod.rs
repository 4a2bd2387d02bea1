//! What is stored of one task, one thread group, one parent.
//!
//! | file | what |
//! |---|---|
//! | `task` | a task: identity, state, queue, links, known facts |
//! | `group` | a thread group: leader, parent, threads; `Extra` and `Rare` for facts that few groups have |
//! | `parent_account` | a parent's counts of children, and what the dead ones used |
//! | `packed_usage` | what the dead tasks of a group used, in 40 bytes |
//! | `charged_to` | the process to which that usage was added when the group ended |
//! | `threads` | the number of tasks of a group, and both ends of their list |
//! | `small_extra` | `Extra` of a zombie, in 20 bytes; `extra_ix`: the place of either |
//! | `pending_reparent` | a reparenting that may not have taken place |

pub(crate) mod charged_to;
pub(crate) mod extra_ix;
pub(crate) mod group;
pub(crate) mod packed_usage;
pub(crate) mod parent_account;
pub(crate) mod pending_reparent;
pub(crate) mod small_extra;
pub(crate) mod task;
pub(crate) mod threads;
