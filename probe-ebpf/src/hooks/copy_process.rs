//! `copy_process()`: a task is made, or is not.
//!
//! The kprobe rung links entry (the clone arguments) to return (the child or an error); fexit has both at once; the
//! `task_newtask` tracepoint, which `copy_process()` fires when the child is linked in, sees no failures.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fexit, kprobe, kretprobe, map, raw_tracepoint},
    maps::HashMap,
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext},
};
use probe_common::{CloneFailed, Lost, TaskNew, Valid};

use crate::{
    emit::{lose, send},
    globals::offset,
    kread::{Direct, Mem, Probed},
    task::{Task, current_id, put},
};

/// Flags and exit signal of a clone in flight, by the caller's pid and tgid. `copy_process()` can sleep.
#[map]
static CLONES: HashMap<u64, CloneArgs> = HashMap::with_max_entries(16_384, 0);

/// What was asked for.
#[repr(C)]
#[derive(Clone, Copy)]
struct CloneArgs {
    flags: u64,
    exit_signal: i32,
    pad: u32,
}

/// Position of `struct kernel_clone_args *args`:
/// <https://elixir.bootlin.com/linux/v6.18/source/kernel/fork.c>, the same since 5.3.
const ARGS: usize = 3;

/// Largest errno, `MAX_ERRNO` in include/linux/err.h: pointers above `-MAX_ERRNO` are errors.
const MAX_ERRNO: u64 = 4095;

#[kprobe]
pub fn copy_process_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(args) = ctx.arg::<*const u8>(ARGS)
        && let Some(asked) = CloneArgs::read::<Probed>(args)
        && CLONES.insert(&bpf_get_current_pid_tgid(), &asked, 0).is_err()
    {
        lose(Lost::EntryMapFull);
    }
    0
}

#[kretprobe]
pub fn copy_process_kretprobe(ctx: RetProbeContext) -> u32 {
    let key = bpf_get_current_pid_tgid();
    // SAFETY: the entry belongs to this task, which is here and not in another clone.
    let asked = unsafe { CLONES.get(&key) }.copied();
    if asked.is_some() {
        // A failed removal leaves an entry that this task's next clone replaces.
        let _ = CLONES.remove(&key);
    }
    returned::<Probed>(ctx.ret::<u64>(), asked);
    0
}

#[fexit]
pub fn copy_process_fexit(ctx: FExitContext) -> i32 {
    let args: *const u8 = ctx.arg(ARGS);
    returned::<Direct>(ctx.arg::<u64>(ARGS + 1), CloneArgs::read::<Direct>(args));
    0
}

#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask_btf(ctx: BtfTracePointContext) -> i32 {
    made(Task::<Direct>::new(ctx.arg(0)), Some(ctx.arg(1)), None);
    0
}

#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn task_newtask_raw(ctx: RawTracePointContext) -> i32 {
    made(Task::<Probed>::new(ctx.arg(0)), Some(ctx.arg(1)), None);
    0
}

impl CloneArgs {
    #[inline(always)]
    fn read<M: Mem>(args: *const u8) -> Option<Self> {
        Some(Self {
            flags: M::get(args, offset!(clone_args_flags))?,
            exit_signal: M::get(args, offset!(clone_args_exit_signal))?,
            pad: 0,
        })
    }
}

#[inline(always)]
fn returned<M: Mem>(result: u64, asked: Option<CloneArgs>) {
    if result >= MAX_ERRNO.wrapping_neg() {
        failed(result.wrapping_neg() as i32, asked);
    } else {
        made(Task::<M>::new(result as *const u8), asked.map(|a| a.flags), asked);
    }
}

#[inline(always)]
fn failed(errno: i32, asked: Option<CloneArgs>) {
    send::<CloneFailed>(|record| {
        let mut valid = 0;
        put(current_id(), &mut record.creator, &mut valid, Valid::ACTOR);
        record.clone_flags = 0;
        record.exit_signal = 0;
        if let Some(asked) = asked {
            record.clone_flags = asked.flags;
            record.exit_signal = asked.exit_signal;
            valid |= Valid::CLONE_FLAGS | Valid::EXIT_SIGNAL;
        }
        record.errno = errno;
        record.valid = valid;
        record.pad = 0;
    });
}

#[inline(always)]
fn made<M: Mem>(child: Task<M>, flags: Option<u64>, _asked: Option<CloneArgs>) {
    let Some(id) = child.id() else { return lose(Lost::Unreadable) };
    send::<TaskNew>(|record| {
        record.task = id;
        let mut valid = child.place(&id, &mut record.place);
        put(current_id(), &mut record.creator, &mut valid, Valid::ACTOR);
        put(child.real_parent().and_then(Task::id), &mut record.parent, &mut valid, Valid::PARENT);
        record.clone_flags = flags.unwrap_or(0);
        if flags.is_some() {
            valid |= Valid::CLONE_FLAGS;
        }
        record.exit_signal = child.exit_signal().unwrap_or(0);
        record.task_flags = child.flags().unwrap_or(0);
        valid |= Valid::EXIT_SIGNAL | Valid::TASK_FLAGS;
        if child.comm(&mut record.comm) {
            valid |= Valid::COMM;
        }
        record.leader_start_ns = if id.tid == id.tgid {
            id.start_ns
        } else {
            child.group_leader().and_then(Task::start_ns).unwrap_or(0)
        };
        record.valid = valid;
        record.pad = 0;
    });
}
