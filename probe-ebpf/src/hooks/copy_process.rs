//! `copy_process()`: a task is created, or creation fails.
//!
//! The kprobe rung links entry (the clone arguments) to return (the child or an error); fexit has both at once; the
//! `task_newtask` tracepoint, which `copy_process()` fires when the child is linked in, sees no failures.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fexit, kprobe, kretprobe, map, raw_tracepoint},
    maps::HashMap,
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext},
};
use aya_log_ebpf::warn;
use probe_common::{CloneFailed, Lost, NEVER_SHED, TaskNew, Valid};

use crate::{
    emit::{lose, send_below},
    globals::{offset, shed_details_above, shed_threads_above},
    kread::{Direct, Mem, Probed},
    task::{Task, current, current_id, mark, put},
};

/// Flags and exit signal of a clone in flight, by the caller's pid and tgid. `copy_process()` can sleep.
#[map]
static CLONES: HashMap<u64, CloneArgs> = HashMap::with_max_entries(16_384, 0);

/// The arguments of clone(2).
#[repr(C)]
#[derive(Clone, Copy)]
struct CloneArgs {
    flags: u64,
    exit_signal: i32,
    /// 1 if the other two fields are known. Not an `Option`: see [`crate::task::Identity`].
    known: u32,
}

/// Position of `struct kernel_clone_args *args`:
/// <https://elixir.bootlin.com/linux/v6.18/source/kernel/fork.c>, the same since 5.3.
const ARGS: usize = 3;

/// Largest errno, `MAX_ERRNO` in include/linux/err.h: pointers above `-MAX_ERRNO` are errors.
const MAX_ERRNO: u64 = 4095;

#[kprobe]
pub fn copy_process_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(args) = ctx.arg::<*const u8>(ARGS) {
        let (key, asked) = (bpf_get_current_pid_tgid(), CloneArgs::read::<Probed>(args));
        // An entry that is still there belongs to a clone of this task whose return was missed.
        if CLONES.insert(&key, &asked, u64::from(BPF_NOEXIST)).is_err() {
            if CLONES.insert(&key, &asked, 0).is_err() {
                lose(Lost::EntryMapFull);
                warn!(
                    &ctx,
                    "copy_process: the map of clones in flight is full: clone flags of one will be unknown"
                );
            } else {
                lose(Lost::MissedReturn);
                warn!(&ctx, "copy_process: the kernel missed a return: a new task is not reported");
            }
        }
    }
    0
}

#[kretprobe]
pub fn copy_process_kretprobe(ctx: RetProbeContext) -> u32 {
    let key = bpf_get_current_pid_tgid();
    // SAFETY: the entry belongs to this task, which is here and not in another clone.
    let asked = match unsafe { CLONES.get(&key) } {
        Some(asked) => *asked,
        None => CloneArgs::UNKNOWN,
    };
    if asked.known != 0 {
        // A failed removal leaves an entry that this task's next clone replaces.
        let _ = CLONES.remove(&key);
    }
    returned::<Probed>(ctx.ret::<u64>(), asked);
    0
}

#[fexit]
pub fn copy_process_fexit(ctx: FExitContext) -> i32 {
    let asked = CloneArgs::read::<Direct>(ctx.arg(ARGS));
    returned::<Direct>(ctx.arg::<u64>(ARGS + 1), asked);
    0
}

#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask_btf(ctx: BtfTracePointContext) -> i32 {
    made(Task::<Direct>::new(ctx.arg(0)), CloneArgs::flags_only(ctx.arg(1)));
    0
}

#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn task_newtask_raw(ctx: RawTracePointContext) -> i32 {
    made(Task::<Probed>::new(ctx.arg(0)), CloneArgs::flags_only(ctx.arg(1)));
    0
}

/// The current task exits. An entry that is still there belongs to a clone whose return the kernel missed, because too many were
/// in flight: this task makes no further clone that would reveal it. If only tracepoints attach, there is no kprobe that makes
/// entries.
#[inline(always)]
pub fn settle() {
    if CLONES.remove(&bpf_get_current_pid_tgid()).is_ok() {
        lose(Lost::MissedReturn);
    }
}

impl CloneArgs {
    const UNKNOWN: Self = Self { flags: 0, exit_signal: 0, known: 0 };

    #[inline(always)]
    fn read<M: Mem>(args: *const u8) -> Self {
        match (M::get(args, offset!(clone_args_flags)), M::get(args, offset!(clone_args_exit_signal))) {
            (Some(flags), Some(exit_signal)) => Self { flags, exit_signal, known: 1 },
            _ => Self::UNKNOWN,
        }
    }

    #[inline(always)]
    fn flags_only(flags: u64) -> Self {
        Self { flags, exit_signal: 0, known: 1 }
    }
}

#[inline(always)]
fn returned<M: Mem>(result: u64, asked: CloneArgs) {
    if result >= MAX_ERRNO.wrapping_neg() {
        failed(result.wrapping_neg() as i32, asked);
    } else {
        made(Task::<M>::new(result as *const u8), asked);
    }
}

#[inline(always)]
fn failed(errno: i32, asked: CloneArgs) {
    send_below::<CloneFailed>(shed_details_above(), |record| {
        record.valid = 0;
        put(current_id(), &mut record.creator, &mut record.valid, Valid::ACTOR);
        record.clone_flags = asked.flags;
        record.exit_signal = asked.exit_signal;
        if asked.known != 0 {
            mark(&mut record.valid, Valid::CLONE_FLAGS | Valid::EXIT_SIGNAL);
        }
        record.errno = errno;
        record.pad = 0;
    });
}

#[inline(always)]
fn made<M: Mem>(child: Task<M>, asked: CloneArgs) {
    let Some(id) = child.id().known() else { return lose(Lost::Unreadable) };
    let shed_above = if id.tid == id.tgid { NEVER_SHED } else { shed_threads_above() };
    send_below::<TaskNew>(shed_above, |record| {
        record.task = id;
        record.valid = Valid::EXIT_SIGNAL | Valid::TASK_FLAGS;
        child.place(&id, &mut record.place, &mut record.valid);
        // Nearly always they are one task, which is read once.
        let parent = child.parent_id();
        let is_creator = child.real_parent().is_some_and(|parent| parent.address() == current().address());
        let creator = if is_creator { parent } else { current_id() };
        put(creator, &mut record.creator, &mut record.valid, Valid::ACTOR);
        put(parent, &mut record.parent, &mut record.valid, Valid::PARENT);
        record.clone_flags = asked.flags;
        if asked.known != 0 {
            mark(&mut record.valid, Valid::CLONE_FLAGS);
        }
        record.exit_signal = child.exit_signal().unwrap_or(0);
        record.task_flags = child.flags().unwrap_or(0);
        child.comm(&mut record.comm, &mut record.valid);
        record.leader_start_ns = if id.tid == id.tgid {
            id.start_ns
        } else {
            child.group_leader().and_then(Task::start_ns).unwrap_or(0)
        };
        record.pad = 0;
    });
}
