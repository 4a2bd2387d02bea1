//! Reports every context switch and wakeup of chosen processes: `events --sched --pid`. Loaded and attached for that command only.
//!
//! `sched_waking` runs on the waker's CPU and shows which task wakes another. `sched_wakeup` shows that the task is runnable; it
//! can run on the woken task's CPU.

use aya_ebpf::{
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
    },
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::HashMap,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{COMM_LEN, SchedEvent, SchedKind, SchedValid, task_state};

use crate::{
    emit::{lose_sched, send_sched},
    kread::{Direct, Mem, Probed},
    switch::Switch,
    task::{Task, mark},
};

/// Index into [`probe_common::SchedTraceLosses`].
const TOO_MANY_TASKS: usize = 1;

/// The last times at which a task got a CPU, left it, and became able to run, ns; 0 if unknown.
#[repr(C)]
#[derive(Clone, Copy)]
struct Times {
    in_ns: u64,
    out_ns: u64,
    ready_ns: u64,
    /// The task that wakes it, and its CPU.
    waker_tid: u32,
    waker_tgid: u32,
    waker_comm: [u8; COMM_LEN],
}

const NEVER: Times =
    Times { in_ns: 0, out_ns: 0, ready_ns: 0, waker_tid: 0, waker_tgid: 0, waker_comm: [0; COMM_LEN] };

/// Chosen thread groups. The daemon sets the sizes of both maps.
#[map]
static SCHED_CHOSEN: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// Tasks of these groups, by the address of their `task_struct`.
#[map]
static SCHED_TIMES: HashMap<u64, Times> = HashMap::with_max_entries(1, 0);

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_trace_btf(ctx: BtfTracePointContext) -> i32 {
    switched(Switch::from_tracepoint(&ctx));
    0
}

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_trace_read_btf(ctx: BtfTracePointContext) -> i32 {
    switched(Switch::read(&ctx));
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_trace_raw(ctx: RawTracePointContext) -> i32 {
    switched(Switch::raw(&ctx));
    0
}

#[btf_tracepoint(function = "sched_waking")]
pub fn sched_trace_waking_btf(ctx: BtfTracePointContext) -> i32 {
    waking(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "sched_waking")]
pub fn sched_trace_waking_raw(ctx: RawTracePointContext) -> i32 {
    waking(Task::<Probed>::new(ctx.arg(0)));
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_trace_wakeup_btf(ctx: BtfTracePointContext) -> i32 {
    woken(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup")]
pub fn sched_trace_wakeup_raw(ctx: RawTracePointContext) -> i32 {
    woken(Task::<Probed>::new(ctx.arg(0)));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_trace_wakeup_new_btf(ctx: BtfTracePointContext) -> i32 {
    begun(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup_new")]
pub fn sched_trace_wakeup_new_raw(ctx: RawTracePointContext) -> i32 {
    begun(Task::<Probed>::new(ctx.arg(0)));
    0
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn is_chosen<M: Mem>(task: Task<M>) -> bool {
    let Some(tgid) = task.tgid() else { return false };
    SCHED_CHOSEN.get_ptr(&tgid).is_some()
}

/// Returns the entry of a task; creates it if there is none. The entry stays at its address until the task's last switch.
#[inline(always)]
fn times(key: u64) -> Option<*mut Times> {
    if let Some(times) = SCHED_TIMES.get_ptr_mut(&key) {
        return Some(times);
    }
    if SCHED_TIMES.insert(&key, &NEVER, 0).is_err() {
        lose_sched(TOO_MANY_TASKS);
        return None;
    }
    SCHED_TIMES.get_ptr_mut(&key)
}

#[inline(always)]
fn switched<M: Mem>(switch: Switch<M>) {
    let Switch { preempted, prev, next, state } = switch;
    if is_chosen(prev) {
        out(prev, next, preempted, state);
    }
    if is_chosen(next) {
        entered(next, prev);
    }
}

#[inline(always)]
fn out<M: Mem>(task: Task<M>, next: Task<M>, preempted: bool, state: u32) {
    let now = now_ns();
    let is_dead = !preempted && state & task_state::DEAD != 0;
    // As in `sched`: a pending signal keeps a task running that was about to sleep.
    let can_run = preempted || state == 0 || task.state() == Some(0);
    let Some(times) = times(task.address()) else { return };
    // SAFETY: the entry of a task that is being switched.
    let in_ns = unsafe {
        let in_ns = (*times).in_ns;
        (*times).in_ns = 0;
        (*times).out_ns = now;
        (*times).ready_ns = if can_run { now } else { 0 };
        in_ns
    };
    send_sched(|event| {
        begin(event, SchedKind::SwitchedOut, task, now);
        event.state = if can_run { 0 } else { state };
        if can_run {
            mark(&mut event.valid, SchedValid::PREEMPTED);
        }
        if in_ns != 0 {
            event.ran_ns = now.saturating_sub(in_ns);
            mark(&mut event.valid, SchedValid::RAN);
        }
        other(event, next);
    });
    if is_dead {
        // The entry exists, because it was written to just now.
        let _ = SCHED_TIMES.remove(&task.address());
    }
}

#[inline(always)]
fn entered<M: Mem>(task: Task<M>, prev: Task<M>) {
    let now = now_ns();
    let Some(times) = times(task.address()) else { return };
    // SAFETY: as above.
    let (out_ns, ready_ns) = unsafe {
        let before = ((*times).out_ns, (*times).ready_ns);
        (*times).in_ns = now;
        (*times).out_ns = 0;
        (*times).ready_ns = 0;
        before
    };
    send_sched(|event| {
        begin(event, SchedKind::SwitchedIn, task, now);
        if ready_ns != 0 {
            event.waited_ns = now.saturating_sub(ready_ns);
            mark(&mut event.valid, SchedValid::WAITED);
        }
        if out_ns != 0 {
            event.off_cpu_ns = now.saturating_sub(out_ns);
            mark(&mut event.valid, SchedValid::OFF_CPU);
        }
        other(event, prev);
    });
}

/// The task is about to be woken; only this hook knows which task wakes it.
#[inline(always)]
fn waking<M: Mem>(task: Task<M>) {
    if !is_chosen(task) {
        return;
    }
    let Some(times) = times(task.address()) else { return };
    let pid_tgid = bpf_get_current_pid_tgid();
    let comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
    // SAFETY: a task is woken by one waker at a time: it holds the task's lock.
    unsafe {
        (*times).waker_tid = pid_tgid as u32;
        (*times).waker_tgid = (pid_tgid >> 32) as u32;
        (*times).waker_comm = comm;
    }
}

#[inline(always)]
fn woken<M: Mem>(task: Task<M>) {
    if !is_chosen(task) {
        return;
    }
    let Some(times) = SCHED_TIMES.get_ptr_mut(&task.address()) else { return };
    let now = now_ns();
    // SAFETY: as above.
    let times = unsafe { &mut *times };
    // A task that runs, or that was preempted, was not asleep.
    if times.in_ns != 0 || times.ready_ns != 0 {
        return;
    }
    times.ready_ns = now;
    let out_ns = times.out_ns;
    send_sched(|event| {
        begin(event, SchedKind::Woken, task, now);
        if out_ns != 0 {
            event.off_cpu_ns = now.saturating_sub(out_ns);
            mark(&mut event.valid, SchedValid::OFF_CPU);
        }
        event.other_tid = times.waker_tid;
        event.other_tgid = times.waker_tgid;
        event.other_comm = times.waker_comm;
        // The idle task wakes no task: an interrupt did.
        if times.waker_tgid != 0 {
            mark(&mut event.valid, SchedValid::OTHER);
        }
    });
}

/// A new thread of a chosen process. The current task is the one that created it.
#[inline(always)]
fn begun<M: Mem>(task: Task<M>) {
    if !is_chosen(task) {
        return;
    }
    let now = now_ns();
    let entry = Times { ready_ns: now, ..NEVER };
    if SCHED_TIMES.insert(&task.address(), &entry, 0).is_err() {
        return lose_sched(TOO_MANY_TASKS);
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    send_sched(|event| {
        begin(event, SchedKind::Woken, task, now);
        mark(&mut event.valid, SchedValid::NEW | SchedValid::OTHER);
        event.other_tid = pid_tgid as u32;
        event.other_tgid = (pid_tgid >> 32) as u32;
        event.other_comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
    });
}

/// Sets every field; fields that only some kinds have are set to zero.
#[inline(always)]
fn begin<M: Mem>(event: &mut SchedEvent, kind: SchedKind, task: Task<M>, now: u64) {
    event.kind = kind as u32;
    // SAFETY: a helper without arguments.
    event.cpu = unsafe { bpf_get_smp_processor_id() };
    event.boottime_ns = now;
    event.task = task.id().raw();
    event.valid = 0;
    event.group_start_ns = 0;
    if let Some(start_ns) = task.group_leader().and_then(Task::start_ns) {
        event.group_start_ns = start_ns;
        mark(&mut event.valid, SchedValid::GROUP_START);
    }
    event.ran_ns = 0;
    event.waited_ns = 0;
    event.off_cpu_ns = 0;
    event.state = 0;
    event.other_tid = 0;
    event.other_tgid = 0;
    event.other_comm = [0; COMM_LEN];
    let mut unused = 0;
    task.comm(&mut event.comm, &mut unused);
}

/// Sets the other task of a context switch. That may be the idle task, whose id is 0.
#[inline(always)]
fn other<M: Mem>(event: &mut SchedEvent, task: Task<M>) {
    let id = task.id().raw();
    event.other_tid = id.tid;
    event.other_tgid = id.tgid;
    mark(&mut event.valid, SchedValid::OTHER);
    let mut unused = 0;
    task.comm(&mut event.other_comm, &mut unused);
}
