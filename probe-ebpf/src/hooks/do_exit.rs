//! `do_exit()`: a task begins to exit.
//!
//! On the tracepoint rung the first and the last child are stored here, while they still are this task's, so that the final
//! switch can read their new parent (see `exit_notify`).

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe, map, raw_tracepoint},
    maps::{Array, HashMap},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext},
};
use probe_common::{Exiting, Lost, SECCOMP_UNREAD, TaskId, Valid};

use crate::{
    emit::{lose, send},
    hooks::copy_process,
    kread::{Direct, Mem, Probed},
    task::{Identity, Task, current, mark},
};

/// The bits of a wait(2) status that have the signal.
const SIGNAL_MASK: i32 = 0x7f;

/// Two children of an exiting task, by its tid.
#[map]
static SAMPLES: HashMap<u32, Sample> = HashMap::with_max_entries(16_384, 0);

/// Slots of [`SAMPLED`]. A power of two.
const SLOTS: u32 = 16_384;

/// The tid whose sample is in [`SAMPLES`], by the lower bits of the tid: most tasks have no children, and a failed look-up in a
/// hash map takes 250 ns. If two exiting tasks share a slot, the sample of the first is lost, which is counted.
#[map]
static SAMPLED: Array<u32> = Array::with_max_entries(SLOTS, 0);

/// The children that an exiting task had, as far as they are stored.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sample {
    first: Child,
    last: Child,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Child {
    address: u64,
    id: TaskId,
}

#[kprobe]
pub fn do_exit_kprobe(ctx: ProbeContext) -> u32 {
    copy_process::settle();
    began(current(), ctx.arg::<i64>(0).map(|code| code as i32));
    0
}

#[fentry(function = "do_exit")]
pub fn do_exit_fentry(ctx: FEntryContext) -> i32 {
    copy_process::settle();
    began(current(), Some(ctx.arg::<i64>(0) as i32));
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_btf(ctx: BtfTracePointContext) -> i32 {
    let task = Task::<Direct>::new(ctx.arg(0));
    remember_children(task);
    began(task, task.exit_code());
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit_raw(ctx: RawTracePointContext) -> i32 {
    let task = Task::<Probed>::new(ctx.arg(0));
    remember_children(task);
    began(task, task.exit_code());
    0
}

#[inline(always)]
fn began<M: Mem>(task: Task<M>, code: Option<i32>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send::<Exiting>(|record| {
        record.task = id;
        record.valid = Valid::TASK_FLAGS | Valid::EXIT_SIGNAL;
        record.exit_code = code.unwrap_or(0);
        if code.is_some() {
            mark(&mut record.valid, Valid::EXIT_CODE);
        }
        task.group_status(&mut record.group_exit_code, &mut record.signal_flags, &mut record.valid);
        task.thread_count(&mut record.nr_threads, &mut record.valid);
        record.task_flags = task.flags().unwrap_or(0);
        record.exit_signal = task.exit_signal().unwrap_or(0);
        if task.children().is_some() {
            mark(&mut record.valid, Valid::HAS_CHILDREN);
        }
        mark(&mut record.valid, task.parent_disposition());
        record.tracer_tgid = 0;
        record.seccomp_mode = SECCOMP_UNREAD;
        record.pad = 0;
        if record.exit_code & SIGNAL_MASK != 0 {
            task.tracer_tgid(&mut record.tracer_tgid, &mut record.valid);
            record.seccomp_mode = task.seccomp_mode();
        }
    });
}

#[inline(always)]
fn remember_children<M: Mem>(task: Task<M>) {
    let Some((first, last)) = task.children() else { return };
    let Some(id) = task.id().known() else { return };
    let sample = Sample {
        first: Child { address: first.address(), id: first.id().raw() },
        last: Child { address: last.address(), id: last.id().raw() },
    };
    let Some(slot) = SAMPLED.get_ptr_mut(id.tid % SLOTS) else { return };
    // SAFETY: the slot of an array map; others that write it write a whole tid.
    let other = unsafe { slot.read_volatile() };
    if SAMPLES.insert(&id.tid, &sample, 0).is_err() {
        return lose(Lost::EntryMapFull);
    }
    // SAFETY: as above.
    unsafe { slot.write_volatile(id.tid) };
    if other != 0 && other != id.tid {
        let _ = SAMPLES.remove(&other);
        lose(Lost::EntryMapFull);
    }
}

/// Returns the parent that the children of the dead task `id` have now, if one of the stored children still exists.
///
/// All children of one task get the same new parent (`forget_original_parent()`), so one is enough.
#[inline(always)]
pub fn new_reaper(id: &TaskId) -> Identity {
    let Some(slot) = SAMPLED.get_ptr_mut(id.tid % SLOTS) else { return Identity::UNKNOWN };
    // SAFETY: the slot of an array map; others that write it write a whole tid.
    if unsafe { slot.read_volatile() } != id.tid {
        return Identity::UNKNOWN;
    }
    // SAFETY: as above.
    unsafe { slot.write_volatile(0) };
    // SAFETY: the entry was written by this very task, which does not run do_exit() twice.
    let Some(sample) = (unsafe { SAMPLES.get(&id.tid) }) else { return Identity::UNKNOWN };
    let (first, last) = (sample.first, sample.last);
    // A failed removal leaves an entry that the next owner of the tid replaces.
    let _ = SAMPLES.remove(&id.tid);
    let new_reaper = first.parent_other_than(id);
    if new_reaper.is_known() { new_reaper } else { last.parent_other_than(id) }
}

impl Child {
    /// Returns the child's parent, if the child is still the stored task and has a parent other than `former`.
    #[inline(always)]
    fn parent_other_than(&self, former: &TaskId) -> Identity {
        let child = Task::<Probed>::new(self.address as *const u8);
        let now = child.id().raw();
        let parent = child.parent_id();
        let same_child = now.start_ns == self.id.start_ns && now.tgid == self.id.tgid;
        let other = parent.raw().tid != former.tid || parent.raw().start_ns != former.start_ns;
        if same_child && other { parent } else { Identity::UNKNOWN }
    }
}
