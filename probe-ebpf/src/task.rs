//! Reads the fields of a `task_struct`.

mod figures;
mod place;
mod signal;

use core::marker::PhantomData;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task};
use probe_common::{COMM_LEN, TaskId, Valid};

pub use self::figures::NOTHING_USED;
use crate::{
    globals::offset,
    kread::{Mem, Probed, pointer},
};

/// `task_struct.exit_state` of a dead task that waits for its parent.
pub const EXIT_ZOMBIE: u32 = 0x20;
/// `task_struct.exit_state` of a task about to be released.
pub const EXIT_DEAD: u32 = 0x10;

/// A `task_struct`, read the way `M` reads.
#[derive(Clone, Copy)]
pub struct Task<M> {
    base: *const u8,
    mem: PhantomData<M>,
}

/// The parts of the status that wait(2) returns.
#[derive(Clone, Copy)]
struct GroupExit {
    code: i32,
    flags: u32,
}

/// A task's identity, where it could be read; else all ones.
///
/// Not an `Option`: moving one that is `None` copies uninitialized bytes, which verifiers before 6.3 refuse.
#[derive(Clone, Copy)]
pub struct Identity(TaskId);

impl Identity {
    const UNREAD: TaskId = TaskId { tid: u32::MAX, tgid: u32::MAX, start_ns: u64::MAX };

    /// An unknown identity.
    pub const UNKNOWN: Self = Self(Self::UNREAD);

    /// The identity, if known.
    #[inline(always)]
    pub fn known(self) -> Option<TaskId> {
        if self.is_known() { Some(self.0) } else { None }
    }

    #[inline(always)]
    pub fn is_known(self) -> bool {
        self.0.tid != u32::MAX
    }

    /// The identity, or all ones.
    #[inline(always)]
    pub fn raw(self) -> TaskId {
        self.0
    }
}

/// The task that runs this program.
#[inline(always)]
pub fn current() -> Task<Probed> {
    // SAFETY: a helper without arguments.
    Task::new(unsafe { bpf_get_current_task() } as *const u8)
}

/// Identity of the task that runs this program: one read instead of three.
#[inline(always)]
pub fn current_id() -> Identity {
    let pid_tgid = bpf_get_current_pid_tgid();
    match Probed::get(current().base, offset!(task_start_boottime)) {
        Some(start_ns) => Identity(TaskId { tid: pid_tgid as u32, tgid: (pid_tgid >> 32) as u32, start_ns }),
        None => Identity::UNKNOWN,
    }
}

/// "Nothing known": what a record holds where a task could not be read.
pub const NOBODY: TaskId = TaskId { tid: 0, tgid: 0, start_ns: 0 };

impl<M: Mem> Task<M> {
    #[inline(always)]
    pub fn new(base: *const u8) -> Self {
        Self { base, mem: PhantomData }
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.base as u64
    }

    /// The address as a pointer that the verifier knows.
    #[inline(always)]
    pub fn base(self) -> *const u8 {
        self.base
    }

    #[inline(always)]
    fn get<T: Copy>(self, offset: u32) -> Option<T> {
        M::get(self.base, offset)
    }

    #[inline(always)]
    fn task(self, offset: u32) -> Option<Self> {
        pointer::<M>(self.base, offset).map(Self::new)
    }

    /// Returns the same task, to be read with a helper: the verifier does not know the type behind its address.
    #[inline(always)]
    pub fn probed(self) -> Task<Probed> {
        Task::new(self.base)
    }

    #[inline(always)]
    pub fn id(self) -> Identity {
        Identity(TaskId {
            tid: self.get(offset!(task_pid)).unwrap_or(u32::MAX),
            tgid: self.get(offset!(task_tgid)).unwrap_or(u32::MAX),
            start_ns: self.get(offset!(task_start_boottime)).unwrap_or(u64::MAX),
        })
    }

    #[inline(always)]
    pub fn tid(self) -> Option<u32> {
        self.get(offset!(task_pid))
    }

    #[inline(always)]
    pub fn tgid(self) -> Option<u32> {
        self.get(offset!(task_tgid))
    }

    /// Identity of `real_parent`.
    #[inline(always)]
    pub fn parent_id(self) -> Identity {
        match self.real_parent() {
            Some(parent) => parent.id(),
            None => Identity::UNKNOWN,
        }
    }

    #[inline(always)]
    pub fn exit_state(self) -> Option<u32> {
        self.get(offset!(task_exit_state))
    }

    #[inline(always)]
    pub fn exit_code(self) -> Option<i32> {
        self.get(offset!(task_exit_code))
    }

    #[inline(always)]
    pub fn exit_signal(self) -> Option<i32> {
        self.get(offset!(task_exit_signal))
    }

    #[inline(always)]
    pub fn flags(self) -> Option<u32> {
        self.get(offset!(task_flags))
    }

    #[inline(always)]
    pub fn state(self) -> Option<u32> {
        self.get(offset!(task_state))
    }

    #[inline(always)]
    pub fn real_parent(self) -> Option<Self> {
        self.task(offset!(task_real_parent))
    }

    #[inline(always)]
    pub fn group_leader(self) -> Option<Self> {
        self.task(offset!(task_group_leader))
    }

    #[inline(always)]
    pub fn start_ns(self) -> Option<u64> {
        self.get(offset!(task_start_boottime))
    }

    /// `thread_pid`, NULL once the task is unhashed.
    #[inline(always)]
    pub fn is_unhashed(self) -> bool {
        self.get::<u64>(offset!(task_thread_pid)) == Some(0)
    }

    /// The [`Valid`] bits that say whether the kernel will notify `parent` of this task's death: `do_notify_parent()` autoreaps a
    /// child if its parent ignores SIGCHLD or has set `SA_NOCLDWAIT`.
    #[inline(always)]
    pub fn parent_disposition(self) -> u32 {
        const SIGCHLD: u32 = 17;
        const SIG_IGN: u64 = 1;
        const SA_NOCLDWAIT: u64 = 2;
        let (action, size) = (offset!(sighand_action), offset!(k_sigaction_size));
        if action == probe_common::ABSENT || size == probe_common::ABSENT {
            return 0;
        }
        let Some(parent) = self.task(offset!(task_parent)) else { return 0 };
        let Some(sighand) = pointer::<M>(parent.base, offset!(task_sighand)) else { return 0 };
        let sigaction = action + (SIGCHLD - 1) * size;
        let (Some(handler), Some(flags)) = (
            M::get::<u64>(sighand, sigaction + offset!(k_sigaction_handler)),
            M::get::<u64>(sighand, sigaction + offset!(k_sigaction_flags)),
        ) else {
            return 0;
        };
        if handler == SIG_IGN || flags & SA_NOCLDWAIT != 0 {
            Valid::PARENT_SIGCHLD | Valid::PARENT_IGNORES
        } else {
            Valid::PARENT_SIGCHLD
        }
    }

    /// Where the argument vector lies in the task's own memory: `(start, end)`.
    #[inline(always)]
    pub fn argument_area(self) -> Option<(u64, u64)> {
        let mm = pointer::<M>(self.base, offset!(task_mm))?;
        Some((M::get(mm, offset!(mm_arg_start))?, M::get(mm, offset!(mm_arg_end))?))
    }

    /// `(first, last)` of the list of children; `None` where it is empty.
    #[inline(always)]
    pub fn children(self) -> Option<(Task<Probed>, Task<Probed>)> {
        let (list, link) = (offset!(task_children), offset!(task_sibling));
        if link == probe_common::ABSENT {
            return None;
        }
        // `struct list_head { next, prev }`: the ends of the list.
        let next: u64 = self.get(list)?;
        let prev: u64 = self.get(list + 8)?;
        let child = |node: u64| Task::new(node.wrapping_sub(u64::from(link)) as *const u8);
        (next != self.address() + u64::from(list)).then_some((child(next), child(prev)))
    }

    /// `None` once `release_task()` has detached the signal structure.
    #[inline(always)]
    fn signal(self) -> Option<*const u8> {
        pointer::<M>(self.base, offset!(task_signal))
    }

    /// Fills the parts of the group's status.
    #[inline(always)]
    pub fn group_status(self, code: &mut i32, flags: &mut u32, valid: &mut u32) {
        *code = 0;
        *flags = 0;
        if let Some(group) = self.group_exit() {
            *code = group.code;
            *flags = group.flags;
            mark(valid, Valid::GROUP_EXIT);
        }
    }

    /// Fills the number of tasks in the group that are not released.
    #[inline(always)]
    pub fn thread_count(self, count: &mut i32, valid: &mut u32) {
        *count = 0;
        if let Some(nr_threads) = self.nr_threads() {
            *count = nr_threads;
            mark(valid, Valid::NR_THREADS);
        }
    }

    #[inline(always)]
    fn group_exit(self) -> Option<GroupExit> {
        let signal = self.signal()?;
        Some(GroupExit {
            code: M::get(signal, offset!(signal_group_exit_code))?,
            flags: M::get(signal, offset!(signal_flags))?,
        })
    }

    #[inline(always)]
    fn nr_threads(self) -> Option<i32> {
        M::get(self.signal()?, offset!(signal_nr_threads))
    }

    /// Fills `tracer`.
    #[inline(always)]
    pub fn tracer(self, tracer: &mut TaskId, valid: &mut u32) {
        *tracer = NOBODY;
        let Some(ptrace) = self.get::<u32>(offset!(task_ptrace)) else { return };
        mark(valid, Valid::PTRACE);
        if ptrace != 0
            && let Some(parent) = self.task(offset!(task_parent))
        {
            put(parent.id(), tracer, valid, Valid::TRACER);
        }
    }

    /// Fills `comm`.
    #[inline(always)]
    pub fn comm(self, comm: &mut [u8; COMM_LEN], valid: &mut u32) {
        let at = offset!(task_comm);
        if at != probe_common::ABSENT && M::comm(self.base, at, comm) {
            mark(valid, Valid::COMM);
        } else {
            *comm = [0; COMM_LEN];
        }
    }

    /// Whether this is an idle task: each CPU has one, and all have pid 0.
    #[inline(always)]
    pub fn is_idle_task(self) -> bool {
        self.get::<u32>(offset!(task_pid)) == Some(0)
    }
}

/// Sets `bits` in a record's `valid`.
///
/// In memory, never in a register: the verifier follows constants in registers, so every optional field would double the
/// paths it goes through (the thirteen of a snapshot cost it 300 ms).
#[inline(always)]
pub fn mark(valid: &mut u32, bits: u32) {
    let valid: *mut u32 = valid;
    // SAFETY: made from a unique reference just above.
    unsafe { valid.write_volatile(valid.read_volatile() | bits) };
}

/// Writes an identity to `slot` and sets `bit` in `valid`, if it is known.
#[inline(always)]
pub fn put(id: Identity, slot: &mut TaskId, valid: &mut u32, bit: u32) {
    *slot = NOBODY;
    if id.is_known() {
        *slot = id.raw();
        mark(valid, bit);
    }
}
