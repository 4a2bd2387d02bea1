//! Reports the final switch of a dead task, which leaves its CPU for good with its accounting complete. Also notes tasks that go to
//! uninterruptible sleep, for [`crate::sleepers`].
//!
//! This is the hot path: it runs at every context switch of the machine. Most switches cost one load and one comparison.

use aya_ebpf::{
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{ExitSource, task_state};

use crate::{
    hooks::{do_exit::new_reaper, exit_notify::report},
    kread::{Direct, Mem, Probed},
    sleepers,
    switch::PREV,
    task::Task,
};

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch_btf(ctx: BtfTracePointContext) -> i32 {
    switched(Task::<Direct>::new(ctx.arg(PREV)));
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_switch_raw(ctx: RawTracePointContext) -> i32 {
    switched(Task::<Probed>::new(ctx.arg(PREV)));
    0
}

#[inline(always)]
fn switched<M: Mem>(prev: Task<M>) {
    let state = prev.state().unwrap_or(0);
    if state & (task_state::DEAD | task_state::UNINTERRUPTIBLE | task_state::RTLOCK_WAIT) == 0 {
        return;
    }
    // A dead task can be preempted between exit_notify() and do_task_dead(); only TASK_DEAD never runs again.
    if state & task_state::DEAD == 0 {
        return sleepers::note(prev, state);
    }
    if prev.exit_state().unwrap_or(0) == 0 {
        return;
    }
    report(prev, ExitSource::FinalSwitch, new_reaper(&prev.id().raw()), 0);
}
