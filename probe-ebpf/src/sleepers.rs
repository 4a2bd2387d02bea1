//! The table of tasks that went to uninterruptible sleep. The daemon maps the table into its memory.
//!
//! A slot is not cleared when its task wakes up, because that would add to the cost of every switch. The daemon regularly reads the
//! tasks of the table ([`crate::hooks`]), and clears the slots of those that are awake.

use aya_ebpf::{helpers::generated::bpf_get_current_task, macros::map, maps::Array};
use probe_common::{SLEEPER_SLOTS, SLEEPER_TAG, task_state};

use crate::{
    kread::{Direct, Mem},
    task::Task,
};

/// `BPF_F_MMAPABLE`.
pub const MAPPED: u32 = 1 << 10;

/// The slots, and after them the mark that a slot was overwritten: see [`SLEEPER_SLOTS`].
#[map]
static SLEEPERS: Array<u64> = Array::with_max_entries(SLEEPER_SLOTS + 1, MAPPED);

/// Notes that the task that leaves its CPU goes to sleep in `state`.
#[inline(always)]
pub fn note<M: Mem>(prev: Task<M>, state: u32) {
    if !task_state::is_blocked(state) {
        return;
    }
    let Some(tid) = prev.tid() else { return };
    let Some(slot) = SLEEPERS.get_ptr_mut(tid % SLEEPER_SLOTS) else { return };
    // In `sched_switch` the current task is the one that leaves. The helper returns its address as a number, with which the
    // verifier allows arithmetic.
    // SAFETY: a helper without arguments.
    let address = unsafe { bpf_get_current_task() };
    // SAFETY: a slot of the map; others that write it write it whole.
    let old = unsafe { slot.read_volatile() };
    // SAFETY: as above.
    unsafe { slot.write_volatile(address | (old.wrapping_add(1) & SLEEPER_TAG)) };
    if old != 0 && old & !SLEEPER_TAG != address {
        overwritten();
    }
}

/// Adds a task that the iterator found asleep.
#[inline(always)]
pub fn found(task: Task<Direct>) {
    let Some(tid) = task.tid() else { return };
    let Some(slot) = SLEEPERS.get_ptr_mut(tid % SLEEPER_SLOTS) else { return };
    // SAFETY: as in `note`. The pointer is written to the slot and read back, because the verifier takes what it reads for a
    // number.
    let (old, address) = unsafe {
        let old = slot.read_volatile();
        slot.cast::<*const u8>().write_volatile(task.base());
        (old, slot.read_volatile())
    };
    if old != 0 && old & !SLEEPER_TAG != address {
        overwritten();
    }
}

#[inline(always)]
fn overwritten() {
    if let Some(is_overwritten) = SLEEPERS.get_ptr_mut(SLEEPER_SLOTS) {
        // SAFETY: as in `note`.
        unsafe { is_overwritten.write_volatile(1) };
    }
}
