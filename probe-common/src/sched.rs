//! Scheduling statistics of the programs of `--sched`: histograms in maps, one instance for each CPU and cgroup.

use crate::{
    record::{COMM_LEN, TaskId},
    task_state,
    wire::wire_struct,
};

/// Number of buckets of a histogram. Bucket `i` counts durations of at most 2^i microseconds that are too long for bucket `i -
/// 1`; the last bucket has no limit.
pub const SCHED_BUCKETS: usize = 32;

/// Returns the bucket of a duration in nanoseconds.
#[expect(clippy::inline_always, reason = "the programs have one function each")]
#[inline(always)]
#[must_use]
pub const fn sched_bucket(ns: u64) -> usize {
    // A duration that equals a bucket's limit belongs to that bucket, as in Prometheus.
    let above = ns.saturating_sub(1) / 1000;
    let bits = 64 - above.leading_zeros() as usize;
    if bits < SCHED_BUCKETS { bits } else { SCHED_BUCKETS - 1 }
}

/// A histogram of durations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedHistogram {
    /// Counts by [`sched_bucket`].
    pub counts: [u64; SCHED_BUCKETS],
    /// The sum of all durations, ns.
    pub sum_ns: u64,
}

/// The state in which a task was off its CPU.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffCpu {
    /// `TASK_INTERRUPTIBLE`: signals wake it.
    Interruptible = 0,
    /// `TASK_UNINTERRUPTIBLE`: nothing but the event wakes it.
    Uninterruptible = 1,
    /// `TASK_KILLABLE`: the event or a deadly signal.
    Killable = 2,
    /// `TASK_STOPPED` and `TASK_TRACED`.
    Stopped = 3,
    /// `TASK_IDLE`: a kernel thread without work.
    Idle = 4,
    /// Parked, frozen, on a lock of a real-time kernel; or woken on another CPU before its state could be read.
    Other = 5,
}

impl OffCpu {
    /// Number of them.
    pub const COUNT: usize = 6;

    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Interruptible, Self::Uninterruptible, Self::Killable, Self::Stopped, Self::Idle, Self::Other];

    /// Stable name for metrics and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interruptible => "interruptible",
            Self::Uninterruptible => "uninterruptible",
            Self::Killable => "killable",
            Self::Stopped => "stopped",
            Self::Idle => "idle",
            Self::Other => "other",
        }
    }

    /// Returns the state for `task_struct.__state`: see [`task_state`].
    #[inline(always)]
    #[must_use]
    pub const fn of_state(state: u32) -> Self {
        use task_state as bit;
        if state & bit::INTERRUPTIBLE != 0 {
            Self::Interruptible
        } else if state & (bit::STOPPED | bit::TRACED) != 0 {
            Self::Stopped
        } else if state & bit::UNINTERRUPTIBLE == 0 {
            Self::Other
        } else if state & bit::WAKEKILL != 0 {
            Self::Killable
        } else if state & bit::NOLOAD != 0 {
            Self::Idle
        } else {
            Self::Uninterruptible
        }
    }
}

/// Histograms of one cgroup's tasks on one CPU. Updated with interrupts off, so that nothing on that CPU interferes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedHistograms {
    /// Waits for a CPU: from when a task could run until it ran.
    pub run_queue: SchedHistogram,
    /// Sleeps: from when a task left its CPU until it was woken, by [`OffCpu`].
    pub off_cpu: [SchedHistogram; OffCpu::COUNT],
}

/// Why a duration could not be counted, or not in its own cgroup.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedLost {
    /// The map of tasks is full, so waits of further tasks are not counted.
    TasksFull = 0,
    /// More cgroups than there are histograms: counted with all others.
    CgroupsFull = 1,
    /// A task that slept runs again and its wakeup was not seen: not counted.
    NoWakeup = 2,
    /// A task leaves a CPU and was not seen to get it: its wait is not counted.
    NoSwitch = 3,
}

impl SchedLost {
    /// Number of reasons.
    pub const COUNT: usize = 4;

    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::TasksFull, Self::CgroupsFull, Self::NoWakeup, Self::NoSwitch];

    /// Stable name for metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TasksFull => "tasks_full",
            Self::CgroupsFull => "cgroups_full",
            Self::NoWakeup => "no_wakeup",
            Self::NoSwitch => "no_switch",
        }
    }
}

/// By [`SchedLost`], on one CPU.
pub type SchedLosses = [u64; SchedLost::COUNT];

/// Kinds of [`SchedEvent`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedKind {
    /// A task left its CPU.
    SwitchedOut = 0,
    /// A task that slept, or is new, can run.
    Woken = 1,
    /// A task got a CPU.
    SwitchedIn = 2,
}

/// What is known of a [`SchedEvent`]: bits of its `valid`.
pub struct SchedValid;

impl SchedValid {
    /// Switched out: it was preempted while it was runnable.
    pub const PREEMPTED: u32 = 1 << 0;
    /// Woken: for the first time.
    pub const NEW: u32 = 1 << 1;
    /// `ran_ns`.
    pub const RAN: u32 = 1 << 2;
    /// `waited_ns`.
    pub const WAITED: u32 = 1 << 3;
    /// `off_cpu_ns`.
    pub const OFF_CPU: u32 = 1 << 4;
    /// `other` and its name.
    pub const OTHER: u32 = 1 << 5;
    /// `group_start_ns`.
    pub const GROUP_START: u32 = 1 << 6;
}

wire_struct! {
    /// A context switch or wakeup of a task that `events --sched` follows.
    pub struct SchedEvent = 112 {
        /// [`SchedKind`].
        pub kind: u32,
        /// The CPU on which it happened.
        pub cpu: u32,
        /// Time: nanoseconds since boot, suspend included.
        pub boottime_ns: u64,
        /// The task.
        pub task: TaskId,
        /// `start_ns` of its group's leader.
        pub group_start_ns: u64,
        /// Switched out: how long it ran.
        pub ran_ns: u64,
        /// Switched in: how long it could run and had no CPU.
        pub waited_ns: u64,
        /// Switched in: how long it was off its CPU in all. Woken: how long it slept.
        pub off_cpu_ns: u64,
        /// Switched out: its `__state`.
        pub state: u32,
        /// [`SchedValid`].
        pub valid: u32,
        /// The other task. Switched out: the task that runs next. Switched in: the task that ran before. Woken: the task that woke it.
        pub other_tid: u32,
        /// The thread group of the other task.
        pub other_tgid: u32,
        /// Comm of the task.
        pub comm: [u8; COMM_LEN],
        /// Comm of the other.
        pub other_comm: [u8; COMM_LEN],
    }
}

/// Events that could not be sent: first those that the ring had no room for, then those of tasks beyond the limit.
pub type SchedTraceLosses = [u64; 2];
