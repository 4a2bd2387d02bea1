//! `do_exit()`: a task begins to die.
//!
//! On the tracepoint rung the first and the last child are remembered here, while they still are this task's, so that the
//! final switch can see where they went (see `exit_notify`).

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe, map, raw_tracepoint},
    maps::HashMap,
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext},
};
use probe_common::{Exiting, Lost, TaskId, Valid};

use crate::{
    emit::{lose, send},
    kread::{Direct, Mem, Probed},
    task::{Task, current},
};

/// Two children of an exiting task, by its tid.
#[map]
static SAMPLES: HashMap<u32, Sample> = HashMap::with_max_entries(16_384, 0);

/// The children that an exiting task had, as far as remembered.
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
    began(current(), ctx.arg::<i64>(0).map(|code| code as i32));
    0
}

#[fentry(function = "do_exit")]
pub fn do_exit_fentry(ctx: FEntryContext) -> i32 {
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
    let Some(id) = task.id() else { return lose(Lost::Unreadable) };
    send::<Exiting>(|record| {
        let mut valid = Valid::TASK_FLAGS | Valid::EXIT_SIGNAL;
        record.task = id;
        record.exit_code = code.unwrap_or(0);
        if code.is_some() {
            valid |= Valid::EXIT_CODE;
        }
        let group = task.group_exit();
        record.group_exit_code = group.map_or(0, |g| g.code);
        record.signal_flags = group.map_or(0, |g| g.flags);
        if group.is_some() {
            valid |= Valid::GROUP_EXIT;
        }
        let nr_threads = task.nr_threads();
        record.nr_threads = nr_threads.unwrap_or(0);
        if nr_threads.is_some() {
            valid |= Valid::NR_THREADS;
        }
        record.task_flags = task.flags().unwrap_or(0);
        record.exit_signal = task.exit_signal().unwrap_or(0);
        if task.children().is_some() {
            valid |= Valid::HAS_CHILDREN;
        }
        record.valid = valid;
        record.pad = 0;
    });
}

#[inline(always)]
fn remember_children<M: Mem>(task: Task<M>) {
    let Some((first, last)) = task.children() else { return };
    let (Some(id), Some(first_id), Some(last_id)) = (task.id(), first.id(), last.id()) else { return };
    let sample = Sample {
        first: Child { address: first.address(), id: first_id },
        last: Child { address: last.address(), id: last_id },
    };
    if SAMPLES.insert(&id.tid, &sample, 0).is_err() {
        lose(Lost::EntryMapFull);
    }
}

/// The parent that the children of the dead task `id` have now, where one of those remembered is still there.
///
/// All children of one task go to the same new parent (`forget_original_parent()`), so one is as good as all.
#[inline(always)]
pub fn heir(id: &TaskId) -> Option<TaskId> {
    // SAFETY: the entry was written by this very task, which does not run do_exit() twice.
    let sample = unsafe { SAMPLES.get(&id.tid) }.copied()?;
    // A failed removal leaves an entry that the next owner of the tid replaces.
    let _ = SAMPLES.remove(&id.tid);
    sample.first.parent_other_than(id).or_else(|| sample.last.parent_other_than(id))
}

impl Child {
    /// The child's parent, if the child is still the task that was remembered and has another parent than `former`.
    #[inline(always)]
    fn parent_other_than(&self, former: &TaskId) -> Option<TaskId> {
        let child = Task::<Probed>::new(self.address as *const u8);
        let now = child.id()?;
        if now.start_ns != self.id.start_ns || now.tgid != self.id.tgid {
            return None;
        }
        let parent = child.real_parent()?.id()?;
        (parent.tid != former.tid || parent.start_ns != former.start_ns).then_some(parent)
    }
}
