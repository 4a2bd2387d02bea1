//! What each kernel event changes. Every file adds methods to [`Lineage`](crate::Lineage).
//!
//! | file | kernel event or question |
//! |---|---|
//! | `birth` | `copy_process()` |
//! | `exec`, `de_thread` | execve(2), also by a thread that is not the leader; a changed comm |
//! | `exit`, `group_exit` | `do_exit()` and `exit_notify()` of a task; what that means for its group |
//! | `death/` | `signal_generate`, `mark_victim`; why a group ended |
//! | `autoreap`, `zombie` | whether a dead leader needs a wait(2); zombies and exits that have lasted too long |
//! | `release`, `reaper` | `release_task()`, and the task that ran it |
//! | `parents/` | `forget_original_parent()`: children of exiting tasks, and what records show of a parent |
//! | `resolve` | from a record's task to its slot; creates a slot for a task whose fork was not seen |
//! | `cgroup_attach` | `cgroup_attach_task()`: a task is moved to another cgroup |
//! | `scope/` | `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_notify_populated`: units and containers begin and end |
//! | `older` | programs of processes that are older than the records |
//! | `task_facts` | facts that any record can bring |
//! | `transition`, `emit` | the effects that a record causes |
//!
//! A method that can create a task or add an effect takes a [`Transition`](transition::Transition); `find_*` methods only read.

pub(crate) mod autoreap;
pub(crate) mod birth;
mod cgroup_attach;
pub(crate) mod de_thread;
pub(crate) mod death;
pub(crate) mod emit;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod group_exit;
mod older;
pub(crate) mod parents;
pub(crate) mod reaper;
pub(crate) mod release;
pub(crate) mod resolve;
pub(crate) mod scope;
pub(crate) mod task_facts;
pub(crate) mod transition;
pub(crate) mod zombie;
