//! The out-of-memory killer has chosen a process: the `mark_victim` tracepoint. The current task asked for the memory.
//!
//! The tracepoint's argument was a pid up to 6.9 and is a `task_struct` since. The verifier knows the type: it refuses the program
//! that dereferences the argument if it is a number. A raw tracepoint has no types, but no pid is as large as a kernel address.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/oom.h>
//!
//! `struct oom_control`, the argument of `out_of_memory()`, shows which limit was reached: that hook stores it for the next
//! victims. The kernel holds `oom_lock` meanwhile, so one limit at a time is stored. If that hook is not attached, the program
//! reads the usage of the trigger's memory cgroups: the innermost at its limit is the one whose charge failed
//! (`try_charge_memcg()`).

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel_str_bytes},
    macros::{btf_tracepoint, fentry, kprobe, map, raw_tracepoint},
    maps::Array,
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext},
};
use probe_common::{
    CGROUP_NAME_LEN, Lost, OOM_CGROUP, OOM_CGROUP_BY_USAGE, OOM_HOST, OOM_HOST_BY_USAGE, OOM_UNKNOWN,
    OomVictim, TaskId, Valid,
};

use crate::{
    emit::{lose, send},
    globals::offset,
    kread::{Direct, Mem, Probed, pointer},
    task::{Task, current, current_id, put},
};

/// The most ancestors of a memory cgroup that are read.
const LEVELS: u32 = 8;
/// A charge asks for up to this many pages at once (`MEMCG_CHARGE_BATCH`): a cgroup with fewer left is at its limit.
const BATCH_PAGES: u64 = 64;

/// Which limit was reached.
#[repr(C)]
#[derive(Clone, Copy)]
struct Met {
    /// pid and tgid of the task in `out_of_memory()`.
    by: u64,
    cgroup_id: u64,
    limit_pages: u64,
    used_pages: u64,
    scope: u64,
    /// Address of the name of its directory, which lives as long as the cgroup; 0 where that is not known.
    name: u64,
}

impl Met {
    const UNKNOWN: Self =
        Self { by: 0, cgroup_id: 0, limit_pages: 0, used_pages: 0, scope: OOM_UNKNOWN as u64, name: 0 };
}

/// The limit that the last call of `out_of_memory()` was about.
#[map]
static OOM_MET: Array<Met> = Array::with_max_entries(1, 0);

#[kprobe]
pub fn out_of_memory_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(control) = ctx.arg::<*const u8>(0) {
        began(control);
    }
    0
}

#[fentry]
pub fn out_of_memory_fentry(ctx: FEntryContext) -> i32 {
    // By helper: what is read then is a number to the verifier, as with a kprobe.
    if let Some(control) = Probed::get::<u64>(aya_ebpf::EbpfContext::as_ptr(&ctx) as *const u8, 0) {
        began(control as *const u8);
    }
    0
}

#[inline(always)]
fn began(control: *const u8) {
    let Some(met) = OOM_MET.get_ptr_mut(0) else { return };
    let mut found = Met { by: bpf_get_current_pid_tgid(), ..Met::UNKNOWN };
    if let Some(memcg) = Probed::get::<u64>(control, offset!(oom_control_memcg)) {
        found.scope = u64::from(OOM_HOST);
        if memcg != 0 {
            found.read(memcg as *const u8);
            found.scope = u64::from(OOM_CGROUP);
        }
    }
    // SAFETY: the value lives as long as the program, and `oom_lock` keeps others out.
    unsafe { met.write(found) };
}

impl Met {
    /// A `struct mem_cgroup` begins with its `cgroup_subsys_state`.
    #[inline(always)]
    fn read(&mut self, memcg: *const u8) {
        self.limit_pages = Probed::get(memcg, offset!(memcg_max)).unwrap_or(0);
        self.used_pages = Probed::get(memcg, offset!(memcg_usage)).unwrap_or(0);
        if let Some(cgroup) = pointer::<Probed>(memcg, offset!(css_cgroup))
            && let Some(node) = pointer::<Probed>(cgroup, offset!(cgroup_kn))
        {
            self.cgroup_id = Probed::get(node, offset!(kernfs_id)).unwrap_or(0);
            self.name = Probed::get(node, offset!(kernfs_name)).unwrap_or(0);
        }
    }
}

/// Writes to the record which limit was reached for the victim that is being marked; returns the address of the cgroup's name.
/// Writes field by field, because verifiers before 6.3 refuse to copy a structure that is not written whole.
#[inline(always)]
fn fill(record: &mut OomVictim) -> u64 {
    if let Some(met) = OOM_MET.get(0)
        && met.by == bpf_get_current_pid_tgid()
        && met.scope != u64::from(OOM_UNKNOWN)
    {
        record.scope = met.scope as u32;
        record.cgroup_id = met.cgroup_id;
        record.limit_pages = met.limit_pages;
        record.used_pages = met.used_pages;
        return met.name;
    }
    record.scope = OOM_UNKNOWN;
    record.cgroup_id = 0;
    record.limit_pages = 0;
    record.used_pages = 0;
    fill_by_usage(record)
}

/// Fills the limit from the usage of the current task's memory cgroups.
#[inline(always)]
fn fill_by_usage(record: &mut OomVictim) -> u64 {
    let Some(mut memcg) = current().memory_cgroup() else { return 0 };
    record.scope = OOM_HOST_BY_USAGE;
    for _ in 0..LEVELS {
        let max = Probed::get::<u64>(memcg, offset!(memcg_max)).unwrap_or(u64::MAX);
        let used = Probed::get::<u64>(memcg, offset!(memcg_usage)).unwrap_or(0);
        if used.wrapping_add(BATCH_PAGES) >= max {
            record.scope = OOM_CGROUP_BY_USAGE;
            record.limit_pages = max;
            record.used_pages = used;
            let Some(node) = pointer::<Probed>(memcg, offset!(css_cgroup))
                .and_then(|cgroup| pointer::<Probed>(cgroup, offset!(cgroup_kn)))
            else {
                return 0;
            };
            record.cgroup_id = Probed::get(node, offset!(kernfs_id)).unwrap_or(0);
            return Probed::get(node, offset!(kernfs_name)).unwrap_or(0);
        }
        match pointer::<Probed>(memcg, offset!(css_parent)) {
            Some(parent) => memcg = parent,
            None => return 0,
        }
    }
    0
}

#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim_task_btf(ctx: BtfTracePointContext) -> i32 {
    marked(Task::<Direct>::new(ctx.arg(0)));
    0
}

#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim_pid_btf(ctx: BtfTracePointContext) -> i32 {
    let pid: i32 = ctx.arg(0);
    report(TaskId { tid: pid.cast_unsigned(), tgid: 0, start_ns: 0 }, 0);
    0
}

#[raw_tracepoint(tracepoint = "mark_victim")]
pub fn mark_victim_raw(ctx: RawTracePointContext) -> i32 {
    let argument: u64 = ctx.arg(0);
    if argument > u64::from(u32::MAX) {
        marked(Task::<Probed>::new(argument as *const u8));
    } else {
        report(TaskId { tid: argument as u32, tgid: 0, start_ns: 0 }, 0);
    }
    0
}

#[inline(always)]
fn marked<M: Mem>(task: Task<M>) {
    let id = task.id();
    if !id.is_known() {
        return lose(Lost::Unreadable);
    }
    report(id.raw(), Valid::IDENTITY);
}

#[inline(always)]
fn report(victim: TaskId, valid: u32) {
    send::<OomVictim>(|record| {
        record.victim = victim;
        record.valid = valid;
        put(current_id(), &mut record.trigger, &mut record.valid, Valid::ACTOR);
        current().comm(&mut record.trigger_comm, &mut record.valid);
        record.cgroup_name = [0; CGROUP_NAME_LEN];
        let name = fill(record);
        if name != 0 {
            // SAFETY: the helper checks the address. A name that cannot be read stays empty.
            let _ = unsafe { bpf_probe_read_kernel_str_bytes(name as *const u8, &mut record.cgroup_name) };
        }
    });
}
