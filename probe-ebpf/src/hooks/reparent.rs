//! A child is reparented: `kill_orphaned_pgrp(child, father)`, called by `reparent_leader()` once for every child that goes
//! to another thread group, with the child's `real_parent` already the new one.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use probe_common::{Lost, Reparented, Valid};

use crate::{
    emit::{lose, send},
    kread::{Direct, Mem, Probed},
    task::{Task, put},
};

#[kprobe]
pub fn kill_orphaned_pgrp_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(child), Some(father)) = (ctx.arg::<*const u8>(0), ctx.arg::<*const u8>(1)) {
        reparented(Task::<Probed>::new(child), father);
    }
    0
}

#[fentry(function = "kill_orphaned_pgrp")]
pub fn kill_orphaned_pgrp_fentry(ctx: FEntryContext) -> i32 {
    reparented(Task::<Direct>::new(ctx.arg(0)), ctx.arg(1));
    0
}

/// `father` is NULL in the call for the exiting group itself, which reparents no child.
#[inline(always)]
fn reparented<M: Mem>(child: Task<M>, father: *const u8) {
    if father.is_null() {
        return;
    }
    let (id, parent) = (child.id(), child.parent_id());
    if !id.is_known() || !parent.is_known() {
        return lose(Lost::Unreadable);
    }
    send::<Reparented>(|record| {
        record.valid = Valid::PARENT | Valid::EXIT_SIGNAL;
        record.child = id.raw();
        record.new_parent = parent.raw();
        put(Task::<M>::new(father).id(), &mut record.old_parent, &mut record.valid, Valid::ACTOR);
        record.exit_signal = child.exit_signal().unwrap_or(0);
    });
}
