//! `exit_notify()`: the kernel decides the `exit_state` of a dead task, and reparents its children.
//!
//! The function is static with one caller and inlined almost everywhere. So further rungs attach to what runs right after it in
//! `do_exit()`, where the same facts can be read: `proc_exit_connector()`, `do_task_dead()`, and the final switch (see
//! `sched_switch`).

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe, map},
    maps::HashMap,
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use probe_common::{ExitSource, Exited, Lost, Valid};

use crate::{
    emit::{lose, send},
    kread::Mem,
    task::{Identity, NOTHING_USED, Task, current, put},
};

/// `group_dead` of an `exit_notify()` in flight, by tid.
#[map]
static NOTIFYING: HashMap<u32, u32> = HashMap::with_max_entries(4_096, 0);

#[kprobe]
pub fn exit_notify_kprobe(ctx: ProbeContext) -> u32 {
    entered(ctx.arg::<i32>(1).unwrap_or(0));
    0
}

#[kretprobe]
pub fn exit_notify_kretprobe(_ctx: RetProbeContext) -> u32 {
    left();
    0
}

#[fentry(function = "exit_notify")]
pub fn exit_notify_fentry(ctx: FEntryContext) -> i32 {
    entered(ctx.arg::<i32>(1));
    0
}

#[fexit(function = "exit_notify")]
pub fn exit_notify_fexit(_ctx: FExitContext) -> i32 {
    left();
    0
}

#[kprobe]
pub fn proc_exit_connector_kprobe(_ctx: ProbeContext) -> u32 {
    report(current(), ExitSource::ProcExitConnector, Identity::UNKNOWN, 0);
    0
}

#[fentry(function = "proc_exit_connector")]
pub fn proc_exit_connector_fentry(_ctx: FEntryContext) -> i32 {
    report(current(), ExitSource::ProcExitConnector, Identity::UNKNOWN, 0);
    0
}

#[kprobe]
pub fn do_task_dead_kprobe(_ctx: ProbeContext) -> u32 {
    report(current(), ExitSource::DoTaskDead, Identity::UNKNOWN, 0);
    0
}

#[fentry(function = "do_task_dead")]
pub fn do_task_dead_fentry(_ctx: FEntryContext) -> i32 {
    report(current(), ExitSource::DoTaskDead, Identity::UNKNOWN, 0);
    0
}

#[inline(always)]
fn entered(group_dead: i32) {
    let Some(id) = current().id().known() else { return lose(Lost::Unreadable) };
    if NOTIFYING.insert(&id.tid, &u32::from(group_dead != 0), 0).is_err() {
        lose(Lost::EntryMapFull);
    }
}

#[inline(always)]
fn left() {
    let task = current();
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    // SAFETY: the entry belongs to this task, which runs exit_notify() once.
    let group_dead = unsafe { NOTIFYING.get(&id.tid) }.copied();
    // A failed removal leaves an entry that the next owner of the tid replaces.
    let _ = NOTIFYING.remove(&id.tid);
    let valid = if group_dead == Some(1) { Valid::GROUP_DEAD } else { 0 };
    report(task, ExitSource::ExitNotify, Identity::UNKNOWN, valid);
}

/// Sends the state of a task after the decision. `valid` has the bits of facts that the caller adds.
#[inline(always)]
pub fn report<M: Mem>(task: Task<M>, source: ExitSource, new_reaper: Identity, valid: u32) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send::<Exited>(|record| {
        record.task = id;
        record.valid = valid | Valid::EXIT_STATE | Valid::EXIT_CODE | Valid::EXIT_SIGNAL | Valid::TASK_FLAGS;
        record.source = source as u32;
        record.exit_state = task.exit_state().unwrap_or(0);
        record.exit_code = task.exit_code().unwrap_or(0);
        record.exit_signal = task.exit_signal().unwrap_or(0);
        record.task_flags = task.flags().unwrap_or(0);
        task.group_status(&mut record.group_exit_code, &mut record.signal_flags, &mut record.valid);
        task.thread_count(&mut record.nr_threads, &mut record.valid);
        put(task.parent_id(), &mut record.parent, &mut record.valid, Valid::PARENT);
        task.tracer(&mut record.tracer, &mut record.valid);
        put(new_reaper, &mut record.new_reaper, &mut record.valid, Valid::NEW_REAPER);
        record.usage = NOTHING_USED;
        task.usage(&mut record.usage, &mut record.valid);
        record.pad = 0;
    });
}
