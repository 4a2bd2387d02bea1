//! What a task is doing now, as the iterator reads it when asked. Never in the ring.

use crate::{
    record::{COMM_LEN, TaskId, Usage},
    wire::wire_struct,
};

/// What the reader wants of the iterators: a tgid, or one of these.
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
        /// `__state`: see [`task_state`].
        pub state: u32,
        /// `policy`: `SCHED_*` of sched(7).
        pub policy: u32,
        /// `prio`, 0 to 139, lower is sooner; 100 and above are not real-time. With inheritance in force.
        pub prio: i32,
        /// `static_prio`: 120 and the nice value.
        pub static_prio: i32,
        /// `rt_priority`: 1 to 99 for `SCHED_FIFO` and `SCHED_RR`.
        pub rt_priority: u32,
        /// The CPU that it runs on or ran on last.
        pub cpu: u32,
        /// 1 where it is on that CPU.
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

/// Bits of `task_struct.__state`, the same from 4.14 on where a kernel has them:
/// <https://elixir.bootlin.com/linux/v6.18/source/include/linux/sched.h>.
pub mod task_state {
    /// `TASK_INTERRUPTIBLE`.
    pub const INTERRUPTIBLE: u32 = 0x1;
    /// `TASK_UNINTERRUPTIBLE`.
    pub const UNINTERRUPTIBLE: u32 = 0x2;
    /// `__TASK_STOPPED`.
    pub const STOPPED: u32 = 0x4;
    /// `__TASK_TRACED`.
    pub const TRACED: u32 = 0x8;
    /// `TASK_PARKED`.
    pub const PARKED: u32 = 0x40;
    /// `TASK_WAKEKILL`: a fatal signal ends the sleep. With [`UNINTERRUPTIBLE`] it is `TASK_KILLABLE`.
    pub const WAKEKILL: u32 = 0x100;
    /// `TASK_NOLOAD`. With [`UNINTERRUPTIBLE`] it is `TASK_IDLE`: a kernel thread without work.
    pub const NOLOAD: u32 = 0x400;
    /// `TASK_RTLOCK_WAIT` (5.16): waits for a lock of a `PREEMPT_RT` kernel.
    pub const RTLOCK_WAIT: u32 = 0x1000;
    /// `TASK_FROZEN` (6.1).
    pub const FROZEN: u32 = 0x8000;

    /// Whether it sleeps so that only an event, or a fatal signal at most, wakes it: what `D` stands for, without tasks that
    /// are frozen or idle.
    #[must_use]
    pub const fn is_blocked(state: u32) -> bool {
        state & (UNINTERRUPTIBLE | RTLOCK_WAIT) != 0 && state & (NOLOAD | FROZEN) == 0
    }
}
