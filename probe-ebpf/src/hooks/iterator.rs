//! The snapshot: one record for each task, by the kernel's task iterator (`iter/task`), read through a file.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_seq_write, macros::map, maps::PerCpuArray};
use probe_common::{Lost, Snapshot, Valid};

use crate::{
    emit::{header, lose},
    kread::Direct,
    task::{NOTHING_USED, Task, put},
};

/// `struct bpf_iter__task`: <https://elixir.bootlin.com/linux/v6.18/source/kernel/bpf/task_iter.c>.
#[repr(C)]
pub struct IterTask {
    pub meta: *const IterMeta,
    pub task: *const u8,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
pub struct IterMeta {
    pub seq: *mut c_void,
    session_id: u64,
    seq_num: u64,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_iterator(ctx: *const IterTask) -> i32 {
    // SAFETY: the kernel calls with a valid context; the verifier checks the loads.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    // The last call of an iteration has no task.
    if !task.is_null() {
        seen(meta, Task::new(task));
    }
    0
}

/// The buffer for a record, which is too large for the stack; in map memory the verifier tracks no constants.
#[map]
static SCRATCH: PerCpuArray<Snapshot> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn seen(meta: *const IterMeta, task: Task<Direct>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    let Some(record) = SCRATCH.get_ptr_mut(0) else { return lose(Lost::Unreadable) };
    // SAFETY: this CPU's own slot. One task reads the iterator, and a program is not entered twice on one CPU.
    let record = unsafe { &mut *record };
    record.header = header::<Snapshot>();
    record.task = id;
    record.valid =
        Valid::EXIT_STATE | Valid::EXIT_CODE | Valid::EXIT_SIGNAL | Valid::TASK_FLAGS | Valid::STATE;
    record.exit_state = task.exit_state().unwrap_or(0);
    record.exit_code = task.exit_code().unwrap_or(0);
    record.exit_signal = task.exit_signal().unwrap_or(0);
    record.task_flags = task.flags().unwrap_or(0);
    record.state = task.state().unwrap_or(0);
    task.place(&id, &mut record.place, &mut record.valid);
    put(task.parent_id(), &mut record.parent, &mut record.valid, Valid::PARENT);
    task.tracer(&mut record.tracer, &mut record.valid);
    task.group_status(&mut record.group_exit_code, &mut record.signal_flags, &mut record.valid);
    task.thread_count(&mut record.nr_threads, &mut record.valid);
    let is_dead = record.exit_state != 0;
    if is_dead {
        // A dead task's usage may be in no other record. A living task's usage is read by `task_figures` on request: here it
        // would touch half a dozen cold cache lines for each task.
        task.usage(&mut record.usage, &mut record.valid);
    }
    task.comm(&mut record.comm, &mut record.valid);
    record.leader_start_ns = task.group_leader().and_then(Task::start_ns).unwrap_or(0);
    record.pad = 0;
    record.pad2 = 0;
    // A full seq buffer makes the kernel enlarge it and call again for the same task: nothing is lost, nothing to count.
    // SAFETY: `meta` is valid for the call; the record is initialised and without padding.
    unsafe { bpf_seq_write((*meta).seq.cast(), (&raw const *record).cast(), size_of::<Snapshot>() as u32) };
    // Few tasks are dead: clearing after them saves clearing before each living one.
    if is_dead {
        record.usage = NOTHING_USED;
    }
}
