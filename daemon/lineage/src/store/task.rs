//! A task: one `task_struct`.

use super::arena::Ix;
use super::effect::Provenance;
use super::flags::{PF_IO_WORKER, PF_KTHREAD, PF_USER_WORKER};
use super::group::Group;
use super::id::{Ktime, TaskKey, Tid};
use super::record::Comm;

/// Where a task is in its life. It only ever moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Another task's record named it; nothing of its own was seen.
    #[default]
    Implied,
    /// Between `copy_process()` and `do_exit()`.
    Running,
    /// In `do_exit()`.
    Exiting,
    /// `EXIT_ZOMBIE`: waits for its parent, or for the rest of its group, or its tracer.
    Zombie,
    /// `EXIT_DEAD`: the kernel has let it go, or is about to; no wait can see it any more.
    Dead,
    /// Its release was seen. Kept for a while so that late records of it are known as such.
    Released,
}

impl TaskState {
    /// Number of states.
    pub(super) const COUNT: usize = 6;

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Implied => "implied",
            Self::Running => "running",
            Self::Exiting => "exiting",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Released => "released",
        }
    }
}

/// What sort of task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Leader of a user thread group.
    Process,
    /// Another thread of a user thread group.
    Thread,
    /// `PF_KTHREAD`.
    KernelThread,
    /// `PF_IO_WORKER`: an `io_uring` worker, a thread of the process that owns the ring.
    IoWorker,
    /// `PF_USER_WORKER`: another kernel-made thread of a process, such as vhost's.
    UserWorker,
}

impl TaskKind {
    /// Number of kinds.
    pub(super) const COUNT: usize = 5;

    /// Tells the kind by the PF_ bits.
    #[must_use]
    pub const fn of(flags: u32, is_leader: bool) -> Self {
        if flags & PF_KTHREAD != 0 {
            Self::KernelThread
        } else if is_leader {
            // Both worker bits mean other things on old kernels, where only leaders could have them.
            Self::Process
        } else if flags & PF_IO_WORKER != 0 {
            Self::IoWorker
        } else if flags & PF_USER_WORKER != 0 {
            Self::UserWorker
        } else {
            Self::Thread
        }
    }

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
            Self::KernelThread => "kernel_thread",
            Self::IoWorker => "io_worker",
            Self::UserWorker => "user_worker",
        }
    }
}

/// Facts of a task that can be unknown.
pub(super) mod known {
    /// Its start is that of /proc: rounded down to a tick, until a record brings the exact one.
    pub(crate) const ROUGH_START: u16 = 1 << 15;
    pub(crate) const FLAGS: u16 = 1 << 0;
    pub(crate) const EXIT_CODE: u16 = 1 << 1;
    pub(crate) const VTID: u16 = 1 << 2;
    pub(crate) const COMM: u16 = 1 << 3;
    /// Its start is known; a leader learned of through another thread has none yet.
    pub(crate) const START: u16 = 1 << 4;
    /// Its birth was told as an effect.
    pub(crate) const BIRTH_TOLD: u16 = 1 << 5;
    /// Who took it, or that nobody had to, was told as an effect.
    pub(crate) const END_TOLD: u16 = 1 << 6;
    /// It was taken for gone because a snapshot did not show it.
    pub(crate) const UNSEEN: u16 = 1 << 7;
    /// Whether it was a zombie is not known: its end was concluded, not seen.
    pub(crate) const NO_EXIT_STATE: u16 = 1 << 8;
    /// It had children when it began to die.
    pub(crate) const HAD_CHILDREN: u16 = 1 << 10;
    /// It was seen as an `io_uring` worker, or as another user worker: it stays one, though its exit clears the PF_ bit.
    pub(crate) const IO_WORKER: u16 = 1 << 11;
    pub(crate) const USER_WORKER: u16 = 1 << 12;
    /// It was in `do_exit()` already when that was first seen.
    pub(crate) const EXIT_BEGAN_UNSEEN: u16 = 1 << 13;
    /// A snapshot showed it as `EXIT_DEAD`: the kernel counts it until its release.
    pub(crate) const GOING: u16 = 1 << 14;
    /// Its final accounting was added to its group's.
    pub(crate) const ACCOUNTED: u16 = 1 << 9;
}

/// Which queue a task stands in; it can only be in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Queue {
    /// None.
    #[default]
    None,
    /// In `do_exit()`, and not yet told as stuck.
    Exiting,
    /// In `do_exit()`, and told as stuck.
    Stuck,
    /// Became a zombie by the end of its last thread; the same `release_task()` may yet release it.
    Candidate,
    /// A zombie not yet flagged.
    Zombie,
    /// A zombie flagged as old.
    Flagged,
    /// `EXIT_DEAD`, its release still to be seen.
    Dead,
    /// Released.
    Tombstone,
}

/// One task. In the order of the fields, three times 32 bytes: the middle ones, which are always in one cache line, are what other
/// tasks' records need of it.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(super) struct Task {
    /// When it came into its present state.
    pub(super) since: Ktime,
    /// When the kernel had this comm: an older record does not change it back.
    pub(super) comm_at: Ktime,
    pub(super) thread_prev: Option<Ix<Self>>,
    pub(super) thread_next: Option<Ix<Self>>,
    pub(super) queue_prev: Option<Ix<Self>>,
    pub(super) queue_next: Option<Ix<Self>>,

    pub(super) key: TaskKey,
    /// Its group. Of a tombstone: a group that may be gone.
    pub(super) group: Option<Ix<Group>>,
    /// Older task with the same tid.
    pub(super) same_tid: Option<Ix<Self>>,
    /// First of the groups whose `real_parent` it is.
    pub(super) first_child: Option<Ix<Group>>,
    pub(super) known: u16,
    pub(super) state: TaskState,
    pub(super) queue: Queue,

    pub(super) comm: Comm,
    pub(super) flags: u32,
    pub(super) exit_code: i32,
    pub(super) vtid: u32,
    pub(super) provenance: Provenance,
    /// Last snapshot that showed it.
    pub(super) round: u8,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            key: TaskKey { tid: Tid(0), start: Ktime(0) },
            group: None,
            same_tid: None,
            thread_prev: None,
            thread_next: None,
            first_child: None,
            queue_prev: None,
            queue_next: None,
            flags: 0,
            exit_code: 0,
            vtid: 0,
            comm: Comm::default(),
            comm_at: Ktime(0),
            since: Ktime(0),
            state: TaskState::Implied,
            queue: Queue::None,
            known: 0,
            provenance: Provenance::Inferred,
            round: 0,
        }
    }
}

impl Task {
    /// What it is, now or before its exit.
    pub(super) const fn kind(&self, is_leader: bool) -> TaskKind {
        let mut flags = self.flags;
        if self.knows(known::IO_WORKER) {
            flags |= PF_IO_WORKER;
        }
        if self.knows(known::USER_WORKER) {
            flags |= PF_USER_WORKER;
        }
        TaskKind::of(flags, is_leader)
    }

    pub(super) const fn knows(&self, fact: u16) -> bool {
        self.known & fact != 0
    }
}
