//! The out-of-memory killer has chosen a process: the `mark_victim` tracepoint. The current task asked for the memory.
//!
//! The tracepoint's argument was a pid up to 6.9 and is a `task_struct` since. The verifier knows which: it refuses the program
//! that dereferences the argument if it is a number. A raw tracepoint has no types, but no pid is as large as a kernel address.

use aya_ebpf::{
    helpers::bpf_get_current_comm,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{COMM_LEN, Lost, OomVictim, TaskId, Valid};

use crate::{
    emit::{lose, send},
    kread::{Direct, Mem, Probed},
    task::{Task, current_id, mark, put},
};

#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim_task_btf(ctx: BtfTracePointContext) -> i32 {
    marked(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim_pid_btf(ctx: BtfTracePointContext) -> i32 {
    let pid: i32 = ctx.arg(0);
    report(TaskId { tid: pid.cast_unsigned(), tgid: 0, start_ns: 0 }, 0);
    0
}

#[raw_tracepoint(tracepoint = "mark_victim")]
pub fn mark_victim_raw(ctx: RawTracePointContext) -> i32 {
    let argument: u64 = ctx.arg(0);
    if argument > u64::from(u32::MAX) {
        marked(Task::<Probed>::new(argument as *const u8));
    } else {
        report(TaskId { tid: argument as u32, tgid: 0, start_ns: 0 }, 0);
    }
    0
}

#[inline(always)]
fn marked<M: Mem>(task: Task<M>) {
    let id = task.id();
    if !id.is_known() {
        return lose(Lost::Unreadable);
    }
    report(id.raw(), Valid::IDENTITY);
}

#[inline(always)]
fn report(victim: TaskId, valid: u32) {
    send::<OomVictim>(|record| {
        record.victim = victim;
        record.valid = valid;
        put(current_id(), &mut record.trigger, &mut record.valid, Valid::ACTOR);
        record.trigger_comm = [0; COMM_LEN];
        if let Ok(comm) = bpf_get_current_comm() {
            record.trigger_comm = comm;
            mark(&mut record.valid, Valid::COMM);
        }
        record.pad = 0;
        record.pad2 = 0;
    });
}
