//! A task moves to another cgroup, of any hierarchy: the `cgroup_attach_task(dst_cgrp, path, leader, threadgroup)` tracepoint, which
//! `cgroup_attach_task()` calls when the move is done
//! (<https://elixir.bootlin.com/linux/v6.18/source/kernel/cgroup/cgroup.c>).

use aya_ebpf::{
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{CgroupAttached, Lost, Valid};

use crate::{
    emit::{lose, send},
    kread::{Direct, Mem, Probed},
    task::{Task, mark},
};

#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task_btf(ctx: BtfTracePointContext) -> i32 {
    attached(Task::<Direct>::new(ctx.arg(2)));
    0
}

#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
pub fn cgroup_attach_task_raw(ctx: RawTracePointContext) -> i32 {
    attached(Task::<Probed>::new(ctx.arg(2)));
    0
}

#[inline(always)]
fn attached<M: Mem>(task: Task<M>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send::<CgroupAttached>(|record| {
        record.task = id;
        record.valid = 0;
        record.cgroup_id = 0;
        if let Some(cgroup_id) = task.cgroup_id() {
            record.cgroup_id = cgroup_id;
            mark(&mut record.valid, Valid::CGROUP);
        }
        record.pad = 0;
    });
}
