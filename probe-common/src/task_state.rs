//! Bits of `task_struct.__state`, the same from 4.14 on where a kernel has them:
//! <https://elixir.bootlin.com/linux/v6.18/source/include/linux/sched.h>.

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
/// `TASK_DEAD`: from `do_task_dead()` on it never runs again.
pub const DEAD: u32 = 0x80;
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
