//! A task runs another program: the `sched_process_exec(task, old_tid, bprm)` tracepoint, past the point of no return.

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel_str_bytes, generated::bpf_probe_read_user},
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{ARGS_LEN, Exec, ExecArgs, Lost, TaskId, Valid};

use crate::{
    emit::{lose, send, send_below},
    globals::{offset, shed_details_above, wants_args},
    kread::{Direct, Mem, Probed, pointer},
    path::{is_deleted, walk},
    task::{Task, mark},
};

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_btf(ctx: BtfTracePointContext) -> i32 {
    execed(Task::<Direct>::new(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec_raw(ctx: RawTracePointContext) -> i32 {
    execed(Task::<Probed>::new(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
    0
}

#[inline(always)]
fn execed<M: Mem>(task: Task<M>, old_tid: u32, bprm: *const u8) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send::<Exec>(|record| {
        record.task = id;
        record.valid = Valid::TASK_FLAGS | Valid::EXIT_SIGNAL;
        task.place(&id, &mut record.place, &mut record.valid);
        record.old_tid = old_tid;
        record.task_flags = task.flags().unwrap_or(0);
        record.exit_signal = task.exit_signal().unwrap_or(0);
        task.comm(&mut record.comm, &mut record.valid);
        record.path_len = 0;
        if let Some(filename) = pointer::<M>(bprm, offset!(bprm_filename))
            // SAFETY: the helper checks the address.
            && let Ok(path) = unsafe { bpf_probe_read_kernel_str_bytes(filename, &mut record.path) }
        {
            // The helper reports a string that just fits and one that was cut alike; the daemon takes a full buffer as cut.
            record.path_len = path.len() as u16;
            mark(&mut record.valid, Valid::PATH);
        }
        record.executable_len = 0;
        if let Some(file) = pointer::<M>(bprm, offset!(bprm_file)) {
            let whole = walk(file, &mut record.executable, &mut record.executable_len);
            mark(&mut record.valid, Valid::EXECUTABLE);
            if !whole {
                mark(&mut record.valid, Valid::TRUNCATED);
            }
            if is_deleted(file) {
                mark(&mut record.valid, Valid::DELETED);
            }
        }
        record.pad = 0;
    });
    if wants_args() {
        arguments(task, id);
    }
}

/// The argument vector lies between `arg_start` and `arg_end` of the new program's memory, each string with its NUL.
#[inline(always)]
fn arguments<M: Mem>(task: Task<M>, id: TaskId) {
    let Some((start, end)) = task.argument_area() else { return };
    send_below::<ExecArgs>(shed_details_above(), |record| {
        record.task = id;
        record.valid = 0;
        let wanted = end.wrapping_sub(start);
        let len = if wanted > ARGS_LEN as u64 {
            record.valid = Valid::TRUNCATED;
            ARGS_LEN as u32
        } else {
            wanted as u32
        };
        // SAFETY: the helper checks the address; `len` is at most the size of the buffer.
        let read = unsafe { bpf_probe_read_user(record.args.as_mut_ptr().cast(), len, start as *const _) };
        record.len = if read == 0 { len } else { 0 };
        if read != 0 {
            record.valid |= Valid::TRUNCATED;
        }
    });
}
