//! Records of the lives of cgroups.

use crate::record::{Header, TaskId};
use crate::wire::wire_struct;

/// Length of a cgroup's name in a record, its NUL included.
pub const CGROUP_LIFE_NAME_LEN: usize = 128;

/// [`CgroupChanged::change`]: the directory was created.
pub const CGROUP_MADE: u32 = 1;
/// The directory was removed.
pub const CGROUP_REMOVED: u32 = 2;
/// It, or a cgroup below it, got its first task.
pub const CGROUP_POPULATED: u32 = 3;
/// It and the cgroups below it lost their last task.
pub const CGROUP_EMPTIED: u32 = 4;

wire_struct! {
    /// A cgroup was created, removed, populated or emptied (tracepoints `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_notify_populated`).
    pub struct CgroupChanged = 192 {
        /// Header.
        pub header: Header,
        /// The current task, which caused the change. If an exit emptied the cgroup, up to 6.18 it is the exiting task; from 6.19
        /// on it can be another task.
        pub actor: TaskId,
        /// Its id: that of the v2 hierarchy, or [`crate::CgroupPair`] of 0 and that of the v1 controller.
        pub cgroup_id: u64,
        /// Id of the cgroup above it, in the same form; 0 where that is not known.
        pub parent_id: u64,
        /// One of the `CGROUP_` constants.
        pub change: u32,
        /// PF_ bits of the actor.
        pub actor_flags: u32,
        /// [`crate::Valid`]: `ACTOR`, `TASK_FLAGS` for the actor's; `PATH` for the name, `TRUNCATED` where it was longer.
        pub valid: u32,
        /// Zero.
        pub pad: u32,
        /// Name of its directory, ended by NUL.
        pub name: [u8; CGROUP_LIFE_NAME_LEN],
    }
}
