//! What tasks are doing now, read on request through the same kernel iterator as the snapshot.
//!
//! There are two programs: one for figures, one for kernel stacks. The kernel turns addresses into names itself (`%pB`), so that
//! the reader needs no right to see addresses.

use aya_ebpf::{
    helpers::generated::{bpf_get_task_stack, bpf_ktime_get_boot_ns, bpf_seq_printf, bpf_seq_write},
    macros::map,
    maps::{Array, PerCpuArray},
};
use probe_common::{Figures, Lost, WANT_ALL, WANT_BLOCKED, task_state};

use crate::{
    emit::lose,
    hooks::iterator::{IterMeta, IterTask},
    kread::Direct,
    sleepers,
    task::Task,
};

/// Which tasks to return: a tgid, [`WANT_ALL`] or [`WANT_BLOCKED`]. Set before each reading; there is one reader.
#[map]
static WANTED: Array<u64> = Array::with_max_entries(1, 0);

/// The most frames of a stack. The first few show what a task waits for.
const FRAMES: usize = 24;

#[map]
static FIGURES: PerCpuArray<Figures> = PerCpuArray::with_max_entries(1, 0);

#[map]
static STACK: PerCpuArray<[u64; FRAMES]> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_figures(ctx: *const IterTask) -> i32 {
    // SAFETY: the kernel calls with a valid context; the verifier checks the loads.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    if !task.is_null() {
        let task = Task::<Direct>::new(task);
        let wanted = wanted();
        if is_wanted(task, wanted) {
            if wanted == WANT_BLOCKED {
                // It may have gone to sleep before the program that notes sleeps was attached.
                sleepers::found(task);
            }
            figures(meta, task);
        }
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_stacks(ctx: *const IterTask) -> i32 {
    // SAFETY: as above.
    let (meta, base) = unsafe { ((*ctx).meta, (*ctx).task) };
    if !base.is_null() {
        let task = Task::<Direct>::new(base);
        // The stack of a running task changes while it is read.
        if is_wanted(task, wanted()) && task.state().unwrap_or(0) != 0 {
            stack(meta, base, task);
        }
    }
    0
}

#[inline(always)]
fn wanted() -> u64 {
    WANTED.get(0).copied().unwrap_or(WANT_ALL)
}

#[inline(always)]
fn is_wanted(task: Task<Direct>, wanted: u64) -> bool {
    match wanted {
        WANT_ALL => true,
        WANT_BLOCKED => task_state::is_blocked(task.state().unwrap_or(0)),
        tgid => task.tgid().is_some_and(|of| u64::from(of) == tgid),
    }
}

#[inline(always)]
fn figures(meta: *const IterMeta, task: Task<Direct>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    let Some(record) = FIGURES.get_ptr_mut(0) else { return lose(Lost::Unreadable) };
    // SAFETY: this CPU's own slot. One task reads the iterator, and a program is not entered twice on one CPU.
    let record = unsafe { &mut *record };
    record.task = id;
    // SAFETY: a helper without arguments.
    record.boottime_ns = unsafe { bpf_ktime_get_boot_ns() };
    record.valid = 0;
    record.exit_state = task.exit_state().unwrap_or(0);
    record.state = task.state().unwrap_or(0);
    record.task_flags = task.flags().unwrap_or(0);
    task.usage(&mut record.usage, &mut record.valid);
    task.comm(&mut record.comm, &mut record.valid);
    record.valid_sched = task.scheduling(record);
    record.pad = 0;
    // A full seq buffer makes the kernel enlarge it and call again for the same task.
    // SAFETY: `meta` is valid for the call; the record is initialised and without padding.
    unsafe { bpf_seq_write((*meta).seq.cast(), (&raw const *record).cast(), size_of::<Figures>() as u32) };
}

#[inline(always)]
fn stack(meta: *const IterMeta, base: *const u8, task: Task<Direct>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    let Some(frames) = STACK.get_ptr_mut(0) else { return lose(Lost::Unreadable) };
    // SAFETY: the helper writes at most the bytes it is given, into this CPU's own slot.
    let bytes = unsafe { bpf_get_task_stack(base.cast_mut().cast(), frames.cast(), (FRAMES * 8) as u32, 0) };
    // SAFETY: as in `figures`.
    let seq = unsafe { (*meta).seq.cast() };
    let head = [u64::from(id.tid), id.start_ns];
    // SAFETY: the format ends with NUL, and takes as many numbers as the data has.
    unsafe {
        bpf_seq_printf(seq, HEAD.as_ptr().cast(), HEAD.len() as u32, head.as_ptr().cast_mut().cast(), 16);
    }
    // Negative if no stack can be read.
    let count = usize::try_from(bytes).unwrap_or(0) / 8;
    for at in 0..FRAMES {
        if at >= count {
            break;
        }
        // SAFETY: below FRAMES; the helper has written it.
        let frame = unsafe { frames.cast::<u64>().add(at) };
        // SAFETY: as above.
        unsafe { bpf_seq_printf(seq, FRAME.as_ptr().cast(), FRAME.len() as u32, frame.cast(), 8) };
    }
}

/// One line for each task, one for each frame.
static HEAD: [u8; 11] = *b"# %u %llu\n\0";
static FRAME: [u8; 5] = *b"%pB\n\0";
