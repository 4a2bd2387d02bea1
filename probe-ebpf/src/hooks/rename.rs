//! A comm changes: the `task_rename` tracepoint, fired with the old comm still in place, by exec too.

use aya_ebpf::{
    helpers::bpf_probe_read_kernel_str_bytes,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{COMM_LEN, Lost, Renamed};

use crate::{
    emit::{lose, send_below},
    globals::shed_details_above,
    kread::{Direct, Mem, Probed},
    task::Task,
};

#[btf_tracepoint(function = "task_rename")]
pub fn task_rename_btf(ctx: BtfTracePointContext) -> i32 {
    renamed(Task::<Direct>::new(ctx.arg(0)), ctx.arg(1));
    0
}

#[raw_tracepoint(tracepoint = "task_rename")]
pub fn task_rename_raw(ctx: RawTracePointContext) -> i32 {
    renamed(Task::<Probed>::new(ctx.arg(0)), ctx.arg(1));
    0
}

#[inline(always)]
fn renamed<M: Mem>(task: Task<M>, comm: *const u8) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send_below::<Renamed>(shed_details_above(), |record| {
        record.task = id;
        record.valid = 0;
        task.comm(&mut record.old, &mut record.valid);
        record.new = [0; COMM_LEN];
        // The helper cuts at COMM_LEN - 1 bytes and a NUL, as the kernel is about to. On an error the comm stays empty.
        // SAFETY: the helper checks the address.
        let _ = unsafe { bpf_probe_read_kernel_str_bytes(comm, &mut record.new) };
        record.pad = 0;
    });
}
