//! A task: one `task_struct`.

use crate::model::flags::{PF_IO_WORKER, PF_USER_WORKER};
use crate::model::id::{Ktime, TaskKey, Tid};
use crate::model::kinds::Provenance;
use crate::model::record::Comm;
use crate::model::task::{TaskKind, TaskState};
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

/// Facts of a task that can be unknown.
pub(crate) mod known {
    /// Its start is that of /proc: rounded down to a tick, until a record brings the exact one.
    pub(crate) const ROUGH_START: u16 = 1 << 15;
    pub(crate) const FLAGS: u16 = 1 << 0;
    pub(crate) const EXIT_CODE: u16 = 1 << 1;
    pub(crate) const VTID: u16 = 1 << 2;
    pub(crate) const COMM: u16 = 1 << 3;
    /// Its start is known; a leader learned of through another thread has none yet.
    pub(crate) const START: u16 = 1 << 4;
    /// Its birth was reported as an effect.
    pub(crate) const FORK_EMITTED: u16 = 1 << 5;
    /// Who took it, or that nobody had to, was reported as an effect.
    pub(crate) const END_EMITTED: u16 = 1 << 6;
    /// It was taken for gone because a snapshot did not show it.
    pub(crate) const CONCLUDED_GONE: u16 = 1 << 7;
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
    pub(crate) const SHOWN_DEAD: u16 = 1 << 14;
    /// Its final accounting was added to its group's.
    pub(crate) const ACCOUNTED: u16 = 1 << 9;
}

/// Which queue a task stands in; it can only be in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Queue {
    /// None.
    #[default]
    None,
    /// In `do_exit()`, and not yet reported as stuck.
    Exiting,
    /// In `do_exit()`, and reported as stuck.
    Stuck,
    /// Became a zombie by the end of its last thread; the same `release_task()` may yet release it.
    Candidate,
    /// A zombie not yet flagged.
    Zombie,
    /// A zombie flagged as old.
    Flagged,
    /// A zombie that nothing has shown since records were lost.
    Unconfirmed,
    /// `EXIT_DEAD`, its release still to be seen.
    Dead,
    /// Released.
    Tombstone,
}

/// One task. In the order of the fields, three times 32 bytes: the middle ones, which are always in one cache line, are what other
/// tasks' records need of it.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(crate) struct Task {
    /// When it came into its present state.
    pub(crate) since: Ktime,
    /// When the kernel had this comm: an older record does not change it back.
    pub(crate) comm_at: Ktime,
    pub(in crate::store) thread_prev: Option<Ix<Self>>,
    pub(in crate::store) thread_next: Option<Ix<Self>>,
    pub(in crate::store) queue_prev: Option<Ix<Self>>,
    pub(in crate::store) queue_next: Option<Ix<Self>>,

    pub(in crate::store) key: TaskKey,
    /// Its group. Of a tombstone: a group that may be gone.
    pub(in crate::store) group: Option<Ix<Group>>,
    /// Older task with the same tid.
    pub(in crate::store) same_tid: Option<Ix<Self>>,
    /// First of the groups whose `real_parent` it is.
    pub(in crate::store) first_child: Option<Ix<Group>>,
    pub(crate) known: u16,
    pub(in crate::store) state: TaskState,
    pub(in crate::store) queue: Queue,

    pub(crate) comm: Comm,
    pub(crate) flags: u32,
    pub(crate) exit_code: i32,
    pub(crate) vtid: u32,
    pub(crate) provenance: Provenance,
    /// Last snapshot that showed it.
    pub(crate) round: u8,
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
    pub(crate) const fn kind(&self, is_leader: bool) -> TaskKind {
        let mut flags = self.flags;
        if self.knows(known::IO_WORKER) {
            flags |= PF_IO_WORKER;
        }
        if self.knows(known::USER_WORKER) {
            flags |= PF_USER_WORKER;
        }
        TaskKind::of(flags, is_leader)
    }

    pub(crate) const fn knows(&self, fact: u16) -> bool {
        self.known & fact != 0
    }

    /// Tid and start.
    pub(crate) const fn key(&self) -> TaskKey {
        self.key
    }

    /// Where it is in its life.
    pub(crate) const fn state(&self) -> TaskState {
        self.state
    }

    /// Its group; `None` once it is released.
    pub(crate) const fn group(&self) -> Option<Ix<Group>> {
        self.group
    }

    /// The queue that it is in.
    pub(crate) const fn queue(&self) -> Queue {
        self.queue
    }

    /// The task behind it in that queue.
    pub(crate) const fn queue_next(&self) -> Option<Ix<Self>> {
        self.queue_next
    }

    /// The next younger task of its group.
    pub(crate) const fn thread_next(&self) -> Option<Ix<Self>> {
        self.thread_next
    }

    /// The first of the groups whose `real_parent` it is.
    pub(crate) const fn first_child(&self) -> Option<Ix<Group>> {
        self.first_child
    }
}
