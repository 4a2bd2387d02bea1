//! What a task is doing now, read by the iterator on request. Never in the ring.

use crate::{
    record::{COMM_LEN, TaskId, Usage},
    wire::wire_struct,
};

/// Which tasks the iterators return: those of a tgid, or one of these.
pub const WANT_ALL: u64 = 0;
/// Only tasks in uninterruptible sleep, `TASK_KILLABLE` included.
pub const WANT_BLOCKED: u64 = 1 << 32;

wire_struct! {
    /// One task as it was when it was read.
    pub struct Figures = 160 {
        /// The task.
        pub task: TaskId,
        /// `CLOCK_BOOTTIME` when it was read, ns.
        pub boottime_ns: u64,
        /// The kernel's accounting of the task so far.
        pub usage: Usage,
        /// Comm.
        pub comm: [u8; COMM_LEN],
        /// `exit_state`.
        pub exit_state: u32,
        /// `__state`: see [`crate::task_state`].
        pub state: u32,
        /// `policy`: `SCHED_*` of sched(7).
        pub policy: u32,
        /// `prio`, 0 to 139; tasks with lower values run first, and 100 and above are not real-time. Includes priority inheritance.
        pub prio: i32,
        /// `static_prio`: 120 and the nice value.
        pub static_prio: i32,
        /// `rt_priority`: 1 to 99 for `SCHED_FIFO` and `SCHED_RR`.
        pub rt_priority: u32,
        /// The CPU that it runs on or ran on last.
        pub cpu: u32,
        /// 1 if it is on that CPU.
        pub on_cpu: u32,
        /// PF_ bits.
        pub task_flags: u32,
        /// [`crate::Valid`].
        pub valid: u32,
        /// Bits of `valid_sched`: which of the scheduler's fields are known, in the order of the fields from `policy` on.
        pub valid_sched: u32,
        /// Zero.
        pub pad: u32,
    }
}
