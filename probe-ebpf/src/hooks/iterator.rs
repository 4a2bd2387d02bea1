//! The snapshot: one record for each task, by the kernel's task iterator (`iter/task`), read through a file.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use probe_common::{COMM_LEN, Lost, Snapshot, Valid};

use crate::{
    emit::{header, lose},
    kread::Direct,
    task::{NOBODY, NOTHING_USED, NOWHERE, Task, put},
};

/// `struct bpf_iter__task`: <https://elixir.bootlin.com/linux/v6.18/source/kernel/bpf/task_iter.c>.
#[repr(C)]
pub struct IterTask {
    meta: *const IterMeta,
    task: *const u8,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
pub struct IterMeta {
    seq: *mut c_void,
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

#[inline(always)]
fn seen(meta: *const IterMeta, task: Task<Direct>) {
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    let mut record = Snapshot {
        header: header::<Snapshot>(),
        task: id,
        parent: NOBODY,
        tracer: NOBODY,
        place: NOWHERE,
        usage: NOTHING_USED,
        comm: [0; COMM_LEN],
        exit_state: task.exit_state().unwrap_or(0),
        exit_code: task.exit_code().unwrap_or(0),
        group_exit_code: 0,
        signal_flags: 0,
        exit_signal: task.exit_signal().unwrap_or(0),
        task_flags: task.flags().unwrap_or(0),
        nr_threads: 0,
        state: task.state().unwrap_or(0),
        valid: 0,
        pad: 0,
        leader_start_ns: id.start_ns,
        pad2: 0,
    };
    let mut valid =
        Valid::EXIT_STATE | Valid::EXIT_CODE | Valid::EXIT_SIGNAL | Valid::TASK_FLAGS | Valid::STATE;
    valid |= task.place(&id, &mut record.place);
    put(task.parent_id(), &mut record.parent, &mut valid, Valid::PARENT);
    valid |= task.tracer(&mut record.tracer);
    if let Some(group) = task.group_exit() {
        record.group_exit_code = group.code;
        record.signal_flags = group.flags;
        valid |= Valid::GROUP_EXIT;
    }
    if let Some(nr_threads) = task.nr_threads() {
        record.nr_threads = nr_threads;
        valid |= Valid::NR_THREADS;
    }
    if task.usage(&mut record.usage) {
        valid |= Valid::USAGE;
    }
    if task.comm(&mut record.comm) {
        valid |= Valid::COMM;
    }
    if id.tid != id.tgid {
        record.leader_start_ns = task.group_leader().and_then(Task::start_ns).unwrap_or(0);
    }
    record.valid = valid;
    // A full seq buffer makes the kernel enlarge it and call again for the same task: nothing is lost, nothing to count.
    // SAFETY: `meta` is valid for the call; the record is on this program's stack, without padding.
    unsafe { bpf_seq_write((*meta).seq.cast(), (&raw const record).cast(), size_of::<Snapshot>() as u32) };
}
