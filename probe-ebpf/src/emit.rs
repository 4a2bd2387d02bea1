//! The only place that writes the ring. Records that do not fit are counted by kind and CPU.
//!
//! While the daemon falls behind, records that the tree can do without are left out first, then creations of threads. The remaining
//! room is for processes, exits and releases: an exit record reveals a thread whose creation was left out, but nothing reveals a
//! missing exit.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use probe_common::{
    CgroupAttached, CgroupChanged, CloneFailed, Counters, Exec, ExecArgs, Exited, Exiting, Header, Kind,
    Lost, NEVER_SHED, OomVictim, Released, Renamed, Reparented, SchedEvent, SchedTraceLosses, SignalSent,
    Snapshot, TaskNew,
};

use crate::sleepers::MAPPED;

/// One ring for all CPUs: one total order. The daemon sets its size.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// How records wake up the daemon. If zero, a record wakes it if the ring was empty. Otherwise the daemon polls the ring by its
/// timer; it is woken only by urgent records, and by a record that fills the ring to this many bytes.
#[map]
static WAKE_ABOVE: Array<u64> = Array::with_max_entries(1, MAPPED);

/// Whether a record wakes up a daemon that polls the ring by its timer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// Never. Each life has records of other kinds.
    Never,
    /// When the ring fills up.
    Full,
    /// At once: the daemon adds facts from /proc or from a cgroup's files, which soon disappear.
    AtOnce,
}

/// A structure that is sent as a record of one kind.
///
/// # Safety
/// The type is `repr(C)`, begins with a [`Header`], consists of integers only and has the size that [`Kind::size`] says.
pub unsafe trait Record: Sized + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Whether records of this kind wake up the daemon.
    const WAKES: Wakes;

    /// Whether this record wakes up the daemon at once.
    #[inline(always)]
    fn wakes_at_once(&self) -> bool {
        matches!(Self::WAKES, Wakes::AtOnce)
    }
}

/// `CLONE_INTO_CGROUP` of clone3(2): the cgroup may be new, and gone with its first task.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

macro_rules! record {
    ($($t:ident: $kind:ident $wakes:ident $(or $at_once:expr)?),* $(,)?) => {$(
        const _: () = assert!(size_of::<$t>() == Kind::$kind.size());
        // SAFETY: declared by `wire_struct!` in probe-common with a Header as the first field; the size is asserted above.
        unsafe impl Record for $t {
            const KIND: Kind = Kind::$kind;
            const WAKES: Wakes = Wakes::$wakes;
            $(
                #[inline(always)]
                fn wakes_at_once(&self) -> bool {
                    let at_once: fn(&Self) -> bool = $at_once;
                    at_once(self)
                }
            )?
        }
    )*};
}
record!(
    TaskNew: TaskNew Full or |record| record.clone_flags & CLONE_INTO_CGROUP != 0,
    CloneFailed: CloneFailed AtOnce,
    Exec: Exec Full,
    ExecArgs: ExecArgs Never,
    Renamed: Renamed Full,
    Exiting: Exiting Never,
    Exited: Exited Full,
    Reparented: Reparented Full,
    Released: Released Never,
    Snapshot: Snapshot Never,
    CgroupAttached: CgroupAttached AtOnce,
    SignalSent: SignalSent AtOnce,
    OomVictim: OomVictim AtOnce,
    CgroupChanged: CgroupChanged Full,
);

/// Returns the header of a record of type `T` with the present time.
#[inline(always)]
pub fn header<T: Record>() -> Header {
    Header {
        kind: T::KIND as u16,
        // SAFETY: helpers without arguments.
        cpu: unsafe { bpf_get_smp_processor_id() } as u16,
        len: size_of::<T>() as u32,
        // SAFETY: as above.
        boottime_ns: unsafe { bpf_ktime_get_boot_ns() },
    }
}

/// Sends one record. `fill` sets every field but the header; the record is zeroed before, except for large arrays that `fill`
/// writes itself.
///
/// Inlined so that the verifier sees one reserve and one submit on every path.
#[inline(always)]
pub fn send<T: Record>(fill: impl FnOnce(&mut T)) {
    send_below(NEVER_SHED, fill);
}

/// Sends one record if the ring holds no more bytes than `mark`, which comes from [`crate::globals`]; otherwise the record is
/// counted as left out.
#[inline(always)]
pub fn send_below<T: Record>(mark: u32, fill: impl FnOnce(&mut T)) {
    send_if(|| has_room_below(mark), fill);
}

/// Returns whether a record that the tree can do without may be sent: whether the ring holds no more bytes than `mark`.
#[inline(always)]
pub fn has_room_below(mark: u32) -> bool {
    mark == NEVER_SHED || RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)) <= u64::from(mark)
}

/// Sends one record if `may` is true; otherwise counts it as left out.
#[inline(always)]
pub fn send_if<T: Record>(may: impl FnOnce() -> bool, fill: impl FnOnce(&mut T)) {
    let kind = T::KIND as usize;
    let counters = COUNTERS.get_ptr_mut(0);
    if let Some(counters) = counters {
        // SAFETY: this CPU's own slot; `kind` is a constant below Kind::COUNT.
        count(unsafe { &raw mut (*counters).produced[kind] });
    }
    if !may() {
        if let Some(counters) = counters {
            // SAFETY: as above.
            count(unsafe { &raw mut (*counters).shed[kind] });
        }
        return;
    }
    let Some(mut entry) = RECORDS.reserve::<T>(0) else {
        if let Some(counters) = counters {
            // SAFETY: as above.
            count(unsafe { &raw mut (*counters).dropped[kind] });
        }
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry is size_of::<T>() bytes that belong to this program until submitted; T starts with a Header and
    // consists of integers, for which any bytes are a value.
    let record = unsafe {
        record.cast::<Header>().write(header::<T>());
        &mut *record
    };
    fill(record);
    let flags = wake_up::<T>(record);
    entry.submit(flags);
}

/// Flags for submitting a record.
#[inline(always)]
fn wake_up<T: Record>(record: &T) -> u64 {
    let Some(above) = WAKE_ABOVE.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's value, which the daemon writes whole.
    let above = unsafe { above.read_volatile() };
    if above == 0 {
        return 0;
    }
    if record.wakes_at_once() {
        return u64::from(BPF_RB_FORCE_WAKEUP);
    }
    // Several CPUs can pass the mark at the same time, so more than one record behind the mark wakes the daemon, but not all of
    // them.
    if matches!(T::WAKES, Wakes::Full)
        && RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)).wrapping_sub(above) < above / 2
    {
        return u64::from(BPF_RB_FORCE_WAKEUP);
    }
    u64::from(BPF_RB_NO_WAKEUP)
}

/// The ring for steps of the scheduler. It is separate because there can be a million steps a second, and none may cost a
/// lifecycle record.
#[map]
static SCHED_TRACE: RingBuf = RingBuf::with_byte_size(4096, 0);

#[map]
static SCHED_TRACE_LOST: PerCpuArray<SchedTraceLosses> = PerCpuArray::with_max_entries(1, 0);

/// Sends a step of the scheduler. `fill` sets every field.
#[inline(always)]
pub fn send_sched(fill: impl FnOnce(&mut SchedEvent)) {
    const RING_FULL: usize = 0;
    let Some(mut entry) = SCHED_TRACE.reserve::<SchedEvent>(0) else { return lose_sched(RING_FULL) };
    // SAFETY: the entry belongs to this program until submitted, and consists of integers, for which any bytes are a value.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(0);
}

/// Counts a step that could not be sent, by index into [`SchedTraceLosses`].
#[inline(always)]
pub fn lose_sched(why: usize) {
    if let Some(lost) = SCHED_TRACE_LOST.get_ptr_mut(0)
        && why < size_of::<SchedTraceLosses>() / size_of::<u64>()
    {
        // SAFETY: this CPU's own slot; the index is checked.
        count(unsafe { &raw mut (*lost)[why] });
    }
}

/// Counts something that could not be reported.
#[inline(always)]
pub fn lose(why: Lost) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own slot; the index is one of a few constants below Lost::COUNT.
        count(unsafe { &raw mut (*counters).lost[why as usize] });
    }
}

/// Adds one, atomically: a program can be preempted in the middle, and a softirq can run another one on top of it.
///
/// `core` has no `fetch_add` for this target, because the target's oldest kernels have no compare-and-swap. They do have this
/// instruction.
#[inline(always)]
fn count(counter: *mut u64) {
    // SAFETY: the callers pass an aligned u64 of a map value, which lives as long as the program.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64);
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as above. Only compiled, never run, when the crate is checked for the host.
    unsafe {
        *counter += 1;
    }
}
