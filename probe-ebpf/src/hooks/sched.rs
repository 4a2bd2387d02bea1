//! Histograms of scheduling, in the kernel: how long runnable tasks waited for a CPU, and how long tasks were off their CPU, by
//! state. Loaded and attached with `--sched` only.
//!
//! One entry per task holds since when the task has been off its CPU. It is made once and then written in place, so that a switch
//! costs two look-ups and no lock. All is counted at the end of a wait, in `sched_switch`, where interrupts are off.

use core::ptr::read_volatile;

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{HashMap, PerCpuArray, Queue},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{
    OffCpu, SCHED_BUCKETS, SchedHistogram, SchedHistograms, SchedLosses, SchedLost, sched_bucket, task_state,
};

const _: () = assert!(SCHED_BUCKETS.is_power_of_two());

use crate::{kread::Mem, switch::Switch, task::Task};

/// Index of the histogram that is shared by all cgroups without a histogram of their own.
const OTHER: u32 = 0;

/// `BPF_NOEXIST`: the insertion fails if the key exists already.
const NEW_KEY: u64 = 1;

/// The state of a task between two times on a CPU. Both times are zero while it runs.
#[repr(C)]
#[derive(Clone, Copy)]
struct Away {
    /// When the task went to sleep; 0 if it was preempted instead.
    out_ns: u64,
    /// When the task became able to run; 0 while it sleeps.
    ready_ns: u64,
    /// `task_struct.cgroups` when `slot` was looked up.
    css_set: u64,
    /// Its cgroup's histograms.
    slot: u32,
    /// [`OffCpu`].
    state: u32,
}

/// Tasks that are not running, by the address of their `task_struct`, which no exec changes. The daemon sets the sizes of all these
/// maps; without `--sched` each has one entry.
#[map]
static SCHED_TASKS: HashMap<u64, Away> = HashMap::with_max_entries(1, 0);

/// Histograms by cgroup id.
#[map]
static SCHED_CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Indices of free histograms. The daemon adds all of them at the start, and later those of cgroups that are gone.
#[map]
static SCHED_FREE: Queue<u32> = Queue::with_max_entries(1, 0);

#[map]
static SCHED_HISTOGRAMS: PerCpuArray<SchedHistograms> = PerCpuArray::with_max_entries(1, 0);

#[map]
static SCHED_LOST: PerCpuArray<SchedLosses> = PerCpuArray::with_max_entries(1, 0);

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_histograms_btf(ctx: BtfTracePointContext) -> i32 {
    switched(Switch::from_tracepoint(&ctx));
    0
}

/// The program for kernels whose tracepoint does not report the state.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_histograms_read_btf(ctx: BtfTracePointContext) -> i32 {
    switched(Switch::read(&ctx));
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_histograms_raw(ctx: RawTracePointContext) -> i32 {
    switched(Switch::raw(&ctx));
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup_btf(ctx: BtfTracePointContext) -> i32 {
    woken(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup")]
pub fn sched_wakeup_raw(ctx: RawTracePointContext) -> i32 {
    woken(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new_btf(ctx: BtfTracePointContext) -> i32 {
    begun(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup_new")]
pub fn sched_wakeup_new_raw(ctx: RawTracePointContext) -> i32 {
    begun(ctx.arg(0));
    0
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn switched<M: Mem>(switch: Switch<M>) {
    let Switch { preempted, prev, next, state } = switch;
    let now = now_ns();
    if !prev.is_idle_task() {
        left(prev, preempted, state, now);
    }
    if !next.is_idle_task() {
        entered(next, now);
    }
}

/// A task leaves its CPU.
#[inline(always)]
fn left<M: Mem>(task: Task<M>, preempted: bool, state: u32, now: u64) {
    let key = task.address();
    if !preempted && state & task_state::DEAD != 0 {
        // Fails for a task that was never seen off its CPU, because it has no entry.
        let _ = SCHED_TASKS.remove(&key);
        return;
    }
    // If a signal is pending, the scheduler keeps a task running that was about to sleep, but may still report the state that it
    // had set.
    let can_run = preempted || state == 0 || task.state() == Some(0);
    let (out_ns, ready_ns) = if can_run { (0, now) } else { (now, 0) };
    let state = OffCpu::of_state(state) as u32;
    if let Some(away) = SCHED_TASKS.get_ptr_mut(&key) {
        // SAFETY: the entry of a task that is being switched, which nothing else does at the same time.
        let away = unsafe { &mut *away };
        // Both have been zero since the task got the CPU, unless that switch was not seen; its wakeup may not have been seen
        // either.
        if away.out_ns != 0 || away.ready_ns != 0 {
            lose(SchedLost::NoSwitch);
        }
        away.out_ns = out_ns;
        away.ready_ns = ready_ns;
        away.state = state;
        return;
    }
    let away = Away { out_ns, ready_ns, css_set: 0, slot: OTHER, state };
    if SCHED_TASKS.insert(&key, &away, 0).is_err() {
        lose(SchedLost::TasksFull);
    }
}

/// A task that sleeps can run. A task that has not left its CPU yet, or was preempted, has not slept.
#[inline(always)]
fn woken(task: u64) {
    let Some(away) = SCHED_TASKS.get_ptr_mut(&task) else { return };
    // SAFETY: a task is woken only when it is off its CPU, and by one waker.
    unsafe {
        if (*away).out_ns != 0 && (*away).ready_ns == 0 {
            (*away).ready_ns = now_ns();
        }
    }
}

/// A new task can run for the first time.
#[inline(always)]
fn begun(task: u64) {
    let away = Away { out_ns: 0, ready_ns: now_ns(), css_set: 0, slot: OTHER, state: 0 };
    if SCHED_TASKS.insert(&task, &away, 0).is_err() {
        lose(SchedLost::TasksFull);
    }
}

/// A task gets a CPU: its sleep and its wait for the CPU are counted now.
#[inline(always)]
fn entered<M: Mem>(task: Task<M>, now: u64) {
    // A task that has been off its CPU since before the programs were attached has no entry.
    let Some(away) = SCHED_TASKS.get_ptr_mut(&task.address()) else { return };
    // SAFETY: as in `left`.
    let away = unsafe { &mut *away };
    let (out_ns, ready_ns) = (away.out_ns, away.ready_ns);
    away.out_ns = 0;
    away.ready_ns = 0;
    if ready_ns == 0 {
        if out_ns != 0 {
            lose(SchedLost::NoWakeup);
        }
        return;
    }
    let css_set = task.css_set_address();
    if away.css_set != css_set {
        away.css_set = css_set;
        away.slot = task.cgroup_id().map_or(OTHER, slot_of);
    }
    if away.slot == OTHER {
        lose(SchedLost::CgroupsFull);
    }
    let Some(histograms) = SCHED_HISTOGRAMS.get_ptr_mut(away.slot) else { return };
    // SAFETY: this CPU's own, with interrupts off.
    let histograms = unsafe { &mut *histograms };
    add(&mut histograms.run_queue, now.saturating_sub(ready_ns));
    if out_ns != 0 {
        let state = away.state as usize;
        if state < OffCpu::COUNT {
            add(&mut histograms.off_cpu[state], ready_ns.saturating_sub(out_ns));
        }
    }
}

#[inline(always)]
fn add(histogram: &mut SchedHistogram, ns: u64) {
    let bucket = sched_bucket(ns);
    // SAFETY: a variable of our own. The read is volatile, so that the compiler does not know the bound and keeps the mask below:
    // the verifier recognizes only that bound.
    let bucket = unsafe { read_volatile(&raw const bucket) } & (SCHED_BUCKETS - 1);
    histogram.counts[bucket] += 1;
    histogram.sum_ns += ns;
}

/// The histograms of a cgroup: its own, a free one, or those of all others.
#[inline(always)]
fn slot_of(cgroup_id: u64) -> u32 {
    // SAFETY: only the daemon removes entries, of cgroups that no task is in any more.
    if let Some(slot) = unsafe { SCHED_CGROUPS.get(&cgroup_id) } {
        return *slot;
    }
    let Ok(Some(slot)) = SCHED_FREE.pop() else { return OTHER };
    if SCHED_CGROUPS.insert(&cgroup_id, &slot, NEW_KEY).is_ok() {
        return slot;
    }
    // Another CPU has added the entry in between.
    let _ = SCHED_FREE.push(&slot, 0);
    // SAFETY: as above.
    unsafe { SCHED_CGROUPS.get(&cgroup_id) }.copied().unwrap_or(OTHER)
}

#[inline(always)]
fn lose(why: SchedLost) {
    if let Some(lost) = SCHED_LOST.get_ptr_mut(0) {
        // SAFETY: this CPU's own; the index is one of a few constants below SchedLost::COUNT.
        unsafe { (*lost)[why as usize] += 1 };
    }
}
