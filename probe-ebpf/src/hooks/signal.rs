//! A signal is generated: the `signal_generate` tracepoint, with the sender as the current task.
//!
//! The set of reported signals is a read-only global, so any other signal costs one comparison. `info` can be a sentinel
//! (`SEND_SIG_NOINFO` 0, `SEND_SIG_PRIV` 1), so it is never read directly, and by helper only above the sentinels.
//! <https://elixir.bootlin.com/linux/v6.18/source/kernel/signal.c> `__send_signal_locked()`.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns},
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use probe_common::{COMM_LEN, INFO_NONE, INFO_PRIV, INFO_REAL, Lost, SignalSent, Valid};

use crate::{
    emit::{has_room_below, lose, send_if},
    globals::{shed_signals_above, wants_signal},
    kread::{Direct, Mem, Probed},
    task::{Task, current, current_id, mark, put},
};

/// `TRACE_SIGNAL_ALREADY_PENDING`: the signal is already pending, so this one changes nothing.
const ALREADY_PENDING: i32 = 2;
/// `SIGSYS`, whose `siginfo` has the number of a system call.
const SIGSYS: u32 = 31;
const SIGKILL: u32 = 9;
const SIGXCPU: u32 = 24;
/// `struct siginfo` of user space, which `kernel_siginfo` begins with: offsets of `si_code`, `si_addr` and `si_syscall` where
/// pointers have 64 bits.
const SI_CODE: u32 = 8;
const SI_ADDR: u32 = 16;
const SI_SYSCALL: u32 = 24;
/// `SI_KERNEL`: what `SEND_SIG_PRIV` stands for.
const SI_KERNEL: i32 = 0x80;

/// Signals a CPU may report at once, and nanoseconds (a power of two) in which it may report one more: 7,600 a second.
const BURST: u64 = 16_384;
const REFILL_SHIFT: u64 = 17;

/// The rate limit of one CPU: how many signals it may still report.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bucket {
    spent: u64,
    /// When the bucket was last looked at, in units of a refill.
    at: u64,
}

#[map]
static SIGNAL_BUCKETS: PerCpuArray<Bucket> = PerCpuArray::with_max_entries(1, 0);

#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate_btf(ctx: BtfTracePointContext) -> i32 {
    let signal: i32 = ctx.arg(0);
    if wants_signal(signal.cast_unsigned()) {
        let task = Task::<Direct>::new(ctx.arg(2));
        generated(signal.cast_unsigned(), info(&ctx), task, ctx.arg::<i32>(3), ctx.arg::<i32>(4));
    }
    0
}

#[raw_tracepoint(tracepoint = "signal_generate")]
pub fn signal_generate_raw(ctx: RawTracePointContext) -> i32 {
    let signal: i32 = ctx.arg(0);
    if wants_signal(signal.cast_unsigned()) {
        let task = Task::<Probed>::new(ctx.arg(2));
        generated(signal.cast_unsigned(), info(&ctx), task, ctx.arg::<i32>(3), ctx.arg::<i32>(4));
    }
    0
}

/// `info` as a number. The verifier takes the argument of a btf tracepoint for a pointer that is never NULL, and drops the branch of
/// `SEND_SIG_NOINFO`; what a helper read is a number to it.
#[inline(always)]
fn info(ctx: &impl EbpfContext) -> u64 {
    Probed::get(ctx.as_ptr() as *const u8, size_of::<u64>() as u32).unwrap_or(2)
}

#[inline(always)]
fn generated<M: Mem>(signal: u32, info: u64, task: Task<M>, group: i32, result: i32) {
    if result == ALREADY_PENDING {
        return;
    }
    let Some(id) = task.id().known() else { return lose(Lost::Unreadable) };
    send_if::<SignalSent>(
        || has_room_below(shed_signals_above()) && take_token(),
        |record| {
            record.target = id;
            record.valid = Valid::CREDENTIALS;
            put(current_id(), &mut record.sender, &mut record.valid, Valid::ACTOR);
            record.sender_comm = [0; COMM_LEN];
            if let Ok(comm) = bpf_get_current_comm() {
                record.sender_comm = comm;
                mark(&mut record.valid, Valid::COMM);
            }
            record.sender_uid = bpf_get_current_uid_gid() as u32;
            record.sender_flags = 0;
            if let Some(flags) = current().flags() {
                record.sender_flags = flags;
                mark(&mut record.valid, Valid::TASK_FLAGS);
            }
            record.signal = signal;
            record.group = u32::from(group != 0);
            record.result = result;
            record.code = 0;
            record.address = 0;
            record.syscall = 0;
            record.info = INFO_REAL;
            match info {
                0 => {
                    record.info = INFO_NONE;
                    mark(&mut record.valid, Valid::SIGNAL_CODE);
                }
                1 => {
                    record.info = INFO_PRIV;
                    record.code = SI_KERNEL;
                    mark(&mut record.valid, Valid::SIGNAL_CODE);
                }
                2 => record.info = INFO_PRIV,
                _ => {
                    let info = info as *const u8;
                    if let Some(code) = Probed::get::<i32>(info, SI_CODE) {
                        record.code = code;
                        mark(&mut record.valid, Valid::SIGNAL_CODE);
                    }
                    record.address = Probed::get::<u64>(info, SI_ADDR).unwrap_or(0);
                    if signal == SIGSYS {
                        record.syscall = Probed::get::<i32>(info, SI_SYSCALL).unwrap_or(0);
                    }
                }
            }
            task.tracer_tgid(&mut record.tracer_tgid, &mut record.valid);
            let sender = current();
            record.sender_login_uid = sender.login_uid();
            sender.terminal(&mut record.sender_terminal);
            sender.in_execve(&mut record.valid);
            record.limits = 0;
            if record.info == INFO_PRIV && (signal == SIGXCPU || signal == SIGKILL) {
                record.limits = task.probed().cpu_limits(signal == SIGKILL);
            }
        },
    );
}

/// Takes one of this CPU's tokens; returns false if none is left. Two programs on one CPU at once may count one token twice: this
/// only limits the rate, so that is harmless.
#[inline(always)]
fn take_token() -> bool {
    let Some(bucket) = SIGNAL_BUCKETS.get_ptr_mut(0) else { return true };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() } >> REFILL_SHIFT;
    // SAFETY: this CPU's own slot, which lives as long as the program.
    let bucket = unsafe { &mut *bucket };
    let refilled = now.wrapping_sub(bucket.at);
    bucket.at = now;
    bucket.spent = bucket.spent.saturating_sub(refilled);
    if bucket.spent >= BURST {
        return false;
    }
    bucket.spent += 1;
    true
}
