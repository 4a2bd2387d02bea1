//! `release_task()`: a dead task is released, and its tid is free.
//!
//! The function loops inside itself: when it releases the last thread of a group whose leader is dead and whose parent ignores
//! SIGCHLD, it releases the leader in a second turn of its loop, without a second entry. So the entry program stores such a leader,
//! and the return program checks whether it was released. The tracepoint rung reports both in the same way, an RCU grace period
//! later.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, map, raw_tracepoint},
    maps::HashMap,
    programs::{
        BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
        RetProbeContext,
    },
};
use probe_common::{Lost, ReleaseSource, Released, TaskId, Valid};

use crate::{
    emit::{lose, send},
    kread::{Direct, Mem, Probed},
    task::{EXIT_DEAD, EXIT_ZOMBIE, Identity, NOBODY, Task, current_id, put},
};

/// Address of the dead leader that a `release_task()` in flight may release too, by the caller's pid and tgid.
#[map]
static TURNS: HashMap<u64, u64> = HashMap::with_max_entries(4_096, 0);

/// Dead leaders in [`TURNS`] for which no `release_task()` has been entered.
#[map]
static LEADERS: HashMap<u64, TaskId> = HashMap::with_max_entries(4_096, 0);

#[kprobe]
pub fn release_task_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(task) = ctx.arg::<*const u8>(0) {
        entered(Task::<Probed>::new(task));
    }
    0
}

#[kretprobe]
pub fn release_task_kretprobe(_ctx: RetProbeContext) -> u32 {
    left();
    0
}

#[fentry(function = "release_task")]
pub fn release_task_fentry(ctx: FEntryContext) -> i32 {
    entered(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[fexit(function = "release_task")]
pub fn release_task_fexit(_ctx: FExitContext) -> i32 {
    left();
    0
}

#[btf_tracepoint(function = "sched_process_free")]
pub fn sched_process_free_btf(ctx: BtfTracePointContext) -> i32 {
    freed(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[raw_tracepoint(tracepoint = "sched_process_free")]
pub fn sched_process_free_raw(ctx: RawTracePointContext) -> i32 {
    freed(Task::<Probed>::new(ctx.arg(0)));
    0
}

#[inline(always)]
fn entered<M: Mem>(task: Task<M>) {
    let id = task.id();
    if !id.is_known() {
        return lose(Lost::Unreadable);
    }
    let (id, by) = (id.raw(), current_id());
    // Read with a helper, so that the verifier sees the address as a number, which a map can hold.
    let leader = task.probed().group_leader();
    let mut valid = 0;
    if id.tid == id.tgid {
        // Another task entered `release_task()` for this leader: it is not released in another's second turn. Mostly there is no
        // such entry.
        if let Some(leader) = leader {
            let _ = LEADERS.remove(&leader.address());
        }
    } else {
        if let Some(leader) = leader
            && leader.exit_state() == Some(EXIT_ZOMBIE)
        {
            expect_second_turn(leader);
        }
        // de_thread(): the exec'ing thread has taken over the old leader's tid and start time and leads the group now.
        let by = by.raw();
        if by.tgid == id.tgid && by.tid == by.tgid && by.start_ns == id.start_ns {
            valid = Valid::DE_THREAD;
        }
    }
    report(task, id, ReleaseSource::Entry, by, valid);
}

#[inline(always)]
fn expect_second_turn(leader: Task<Probed>) {
    let (id, address) = (leader.id().raw(), leader.address());
    if TURNS.insert(&bpf_get_current_pid_tgid(), &address, 0).is_err()
        || LEADERS.insert(&address, &id, 0).is_err()
    {
        lose(Lost::EntryMapFull);
    }
}

#[inline(always)]
fn left() {
    let key = bpf_get_current_pid_tgid();
    // SAFETY: the entry belongs to this task, which is here and not in another release_task().
    let Some(address) = (unsafe { TURNS.get(&key) }) else { return };
    let address = *address;
    let _ = TURNS.remove(&key);
    // SAFETY: removed only when a task enters release_task() for this leader; a stale copy is checked below.
    let Some(id) = (unsafe { LEADERS.get(&address) }) else { return };
    let id = *id;
    let leader = Task::<Probed>::new(address as *const u8);
    let now = leader.id().raw();
    // Unhashed without an entry of its own, and still the same task under the same tid (de_thread() gives an old leader
    // that it releases the exec'ing thread's): this call has released it.
    if leader.exit_state() == Some(EXIT_DEAD)
        && leader.is_unhashed()
        && now.start_ns == id.start_ns
        && now.tid == id.tid
    {
        report(leader, id, ReleaseSource::SecondTurn, current_id(), 0);
    }
    let _ = LEADERS.remove(&address);
}

#[inline(always)]
fn freed<M: Mem>(task: Task<M>) {
    let id = task.id();
    if !id.is_known() {
        return lose(Lost::Unreadable);
    }
    report(task, id.raw(), ReleaseSource::Free, Identity::UNKNOWN, 0);
}

#[inline(always)]
fn report<M: Mem>(task: Task<M>, id: TaskId, source: ReleaseSource, by: Identity, valid: u32) {
    send::<Released>(|record| {
        record.task = id;
        record.valid = valid | Valid::EXIT_STATE | Valid::EXIT_CODE | Valid::EXIT_SIGNAL | Valid::TASK_FLAGS;
        record.source = source as u32;
        put(by, &mut record.by, &mut record.valid, Valid::ACTOR);
        record.exit_state = task.exit_state().unwrap_or(0);
        record.exit_code = task.exit_code().unwrap_or(0);
        record.exit_signal = task.exit_signal().unwrap_or(0);
        record.task_flags = task.flags().unwrap_or(0);
        // The pointer outlives the release. After the release, the parent that it points to can be freed and its memory reused. The
        // daemon uses the identity only if the tree has that task.
        put(task.parent_id(), &mut record.parent, &mut record.valid, Valid::PARENT);
        record.tracer = NOBODY;
        record.group_exit_code = 0;
        record.signal_flags = 0;
        // After the release the signal structure and the tracer are detached.
        if source as u32 == ReleaseSource::Entry as u32 {
            task.group_status(&mut record.group_exit_code, &mut record.signal_flags, &mut record.valid);
            task.tracer(&mut record.tracer, &mut record.valid);
        }
        record.pad = 0;
    });
}
