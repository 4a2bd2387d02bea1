//! The arguments of the tracepoint `sched_switch`. Their order has not changed since 4.x.

use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

use crate::{
    kread::{Direct, Probed},
    task::Task,
};

const PREEMPTED: usize = 0;
/// Index of the argument with the task that leaves the CPU.
pub const PREV: usize = 1;
const NEXT: usize = 2;
/// Index of the argument with the state of `prev` that the scheduler acted on; older kernels do not have it.
const PREV_STATE: usize = 3;

/// A context switch.
#[derive(Clone, Copy)]
pub struct Switch<M> {
    /// Whether `prev` was preempted.
    pub preempted: bool,
    /// The task that leaves the CPU.
    pub prev: Task<M>,
    /// The task that gets the CPU.
    pub next: Task<M>,
    /// The state of `prev`: see [`probe_common::task_state`].
    pub state: u32,
}

impl Switch<Direct> {
    /// Creates it with the state that the tracepoint reports.
    #[inline(always)]
    pub fn from_tracepoint(ctx: &BtfTracePointContext) -> Self {
        Self { state: ctx.arg::<u64>(PREV_STATE) as u32, ..Self::stateless(ctx) }
    }

    /// Creates it on kernels whose tracepoint does not report the state.
    #[inline(always)]
    pub fn read(ctx: &BtfTracePointContext) -> Self {
        let switch = Self::stateless(ctx);
        Self { state: switch.prev.state().unwrap_or(0), ..switch }
    }

    #[inline(always)]
    fn stateless(ctx: &BtfTracePointContext) -> Self {
        Self {
            preempted: ctx.arg::<u64>(PREEMPTED) & 1 != 0,
            prev: Task::new(ctx.arg(PREV)),
            next: Task::new(ctx.arg(NEXT)),
            state: 0,
        }
    }
}

impl Switch<Probed> {
    #[inline(always)]
    pub fn raw(ctx: &RawTracePointContext) -> Self {
        let prev = Task::<Probed>::new(ctx.arg(PREV));
        Self {
            preempted: ctx.arg::<u64>(PREEMPTED) & 1 != 0,
            prev,
            next: Task::new(ctx.arg(NEXT)),
            state: prev.state().unwrap_or(0),
        }
    }
}
