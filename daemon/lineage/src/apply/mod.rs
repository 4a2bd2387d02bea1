//! One file a kernel event.

pub(crate) mod autoreap;
pub(crate) mod birth;
pub(crate) mod de_thread;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod group_exit;
pub(crate) mod new_reaper;
pub(crate) mod orphans;
pub(crate) mod parent;
pub(crate) mod pending_reparent;
pub(crate) mod reaper;
pub(crate) mod release;
pub(crate) mod reparent;
pub(crate) mod resolve;
pub(crate) mod task_facts;
pub(crate) mod transition;
pub(crate) mod zombie;
