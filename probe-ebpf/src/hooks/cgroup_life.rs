//! The life of a cgroup: the tracepoints `cgroup_mkdir`, `cgroup_rmdir` and `cgroup_notify_populated`.
//!
//! When a cgroup gets its first task or loses its last, `cgroup_update_populated()` walks up from it and fires
//! `cgroup_notify_populated` for each cgroup that becomes populated or empty with it. Up to 6.18 a task leaves its cgroup in
//! `do_exit()`, where it is the current task; from 6.19 on it leaves after its last switch (`cgroup_task_dead()`), where another
//! task is current. <https://elixir.bootlin.com/linux/v6.18/source/kernel/cgroup/cgroup.c>
//!
//! On a host with v1 controllers only two hierarchies are reported: v2, and the one of the chosen controller, as for tasks.

use aya_ebpf::{
    helpers::bpf_probe_read_kernel_str_bytes,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{
    CGROUP_EMPTIED, CGROUP_LIFE_NAME_LEN, CGROUP_MADE, CGROUP_POPULATED, CGROUP_REMOVED, CgroupChanged,
    CgroupPair, Lost, Valid,
};

use crate::{
    emit::{has_room_below, lose, send_if},
    globals::{offset, shed_signals_above},
    kread::{Mem, Probed, pointer},
    task::{current, current_id, mark, put},
};

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir_btf(ctx: BtfTracePointContext) -> i32 {
    changed(ctx.arg(0), CGROUP_MADE);
    0
}

#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir_raw(ctx: RawTracePointContext) -> i32 {
    changed(ctx.arg(0), CGROUP_MADE);
    0
}

#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir_btf(ctx: BtfTracePointContext) -> i32 {
    changed(ctx.arg(0), CGROUP_REMOVED);
    0
}

#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub fn cgroup_rmdir_raw(ctx: RawTracePointContext) -> i32 {
    changed(ctx.arg(0), CGROUP_REMOVED);
    0
}

#[btf_tracepoint(function = "cgroup_notify_populated")]
pub fn cgroup_notify_populated_btf(ctx: BtfTracePointContext) -> i32 {
    let value: i32 = ctx.arg(2);
    changed(ctx.arg(0), if value != 0 { CGROUP_POPULATED } else { CGROUP_EMPTIED });
    0
}

#[raw_tracepoint(tracepoint = "cgroup_notify_populated")]
pub fn cgroup_notify_populated_raw(ctx: RawTracePointContext) -> i32 {
    let value: i32 = ctx.arg(2);
    changed(ctx.arg(0), if value != 0 { CGROUP_POPULATED } else { CGROUP_EMPTIED });
    0
}

/// Reads by helper on both rungs, because it compares pointers, which verifiers allow for numbers only. The hook is rare, so the
/// cost does not matter.
#[inline(always)]
fn changed(cgroup: *const u8, change: u32) {
    let Some(root) = root_of(cgroup) else { return lose(Lost::Unreadable) };
    let is_unified = current().unified_cgroup().and_then(root_of) == Some(root);
    if !is_unified && current().controller_cgroup().and_then(root_of) != Some(root) {
        return;
    }
    let Some(node) = pointer::<Probed>(cgroup, offset!(cgroup_kn)) else { return lose(Lost::Unreadable) };
    let Some(id) = Probed::get::<u64>(node, offset!(kernfs_id)) else { return lose(Lost::Unreadable) };
    send_if::<CgroupChanged>(
        || has_room_below(shed_signals_above()),
        |record| {
            record.valid = 0;
            record.pad = 0;
            put(current_id(), &mut record.actor, &mut record.valid, Valid::ACTOR);
            record.actor_flags = 0;
            if let Some(flags) = current().flags() {
                record.actor_flags = flags;
                mark(&mut record.valid, Valid::TASK_FLAGS);
            }
            record.change = change;
            record.cgroup_id = number(id, is_unified);
            record.parent_id = 0;
            if let Some(above) = id_above(cgroup) {
                record.parent_id = number(above, is_unified);
            }
            record.name = [0; CGROUP_LIFE_NAME_LEN];
            let name = Probed::get::<u64>(node, offset!(kernfs_name)).unwrap_or(0);
            if name != 0 {
                // SAFETY: the helper checks the address. A name that cannot be read stays empty.
                let read = unsafe { bpf_probe_read_kernel_str_bytes(name as *const u8, &mut record.name) };
                if let Ok(read) = read {
                    mark(&mut record.valid, Valid::PATH);
                    if read.len() >= CGROUP_LIFE_NAME_LEN - 1 {
                        mark(&mut record.valid, Valid::TRUNCATED);
                    }
                }
            }
        },
    );
}

/// Address of its hierarchy's `struct cgroup_root`.
#[inline(always)]
fn root_of(cgroup: *const u8) -> Option<u64> {
    Probed::get(cgroup, offset!(cgroup_root))
}

/// Id of the cgroup above it.
#[inline(always)]
fn id_above(cgroup: *const u8) -> Option<u64> {
    let state = pointer::<Probed>(cgroup, offset!(cgroup_self_parent))?;
    let above = pointer::<Probed>(state, offset!(css_cgroup))?;
    let node = pointer::<Probed>(above, offset!(cgroup_kn))?;
    Probed::get(node, offset!(kernfs_id))
}

#[inline(always)]
const fn number(id: u64, is_unified: bool) -> u64 {
    if is_unified { id } else { CgroupPair::pack(0, id) }
}
