//! The table of tasks that went to uninterruptible sleep, which the programs write and the daemon maps.

use crate::{record::TaskId, wire::wire_struct};

/// Slots of the table; a task's slot is its tid modulo this. The value after the slots is not zero if a task overwrote the slot of
/// another task.
pub const SLEEPER_SLOTS: u32 = 32_768;

/// The bits of a slot that the next sleep of the same task changes. The others are the address of its `task_struct`, which the kernel
/// aligns to a cache line: <https://elixir.bootlin.com/linux/v6.18/source/kernel/fork.c>, `fork_init()`. Zero is an empty slot.
pub const SLEEPER_TAG: u64 = 63;

/// The most tasks that one run of the reading program reads. The verifier goes through the program's loop once for each of them.
pub const SLEEPERS_READ: u32 = 16;

wire_struct! {
    /// A task of the table, as the daemon asks for it and as a program reads it.
    pub struct Sleeper = 48 {
        /// Address of the `task_struct`; zero ends the list of tasks to read.
        pub address: u64,
        /// The task; all ones where it could not be read.
        pub task: TaskId,
        /// Context switches so far, voluntary and not.
        pub switches: u64,
        /// `__state`: see [`crate::task_state`].
        pub state: u32,
        /// `exit_state`.
        pub exit_state: u32,
        /// PF_ bits.
        pub task_flags: u32,
        /// Zero.
        pub pad: u32,
    }
}
