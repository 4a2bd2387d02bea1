//! A task: one `task_struct`.

use crate::model::flags::{PF_IO_WORKER, PF_USER_WORKER};
use crate::model::id::{Ktime, TaskKey, Tid};
use crate::model::kinds::Provenance;
use crate::model::record::Comm;
use crate::model::task::{TaskKind, TaskState};
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

/// Bits of [`Task`]: which facts are known, and which effects were emitted.
pub(crate) mod known {
    /// Its start is from /proc and rounded down to a tick, until a record has the exact one.
    pub(crate) const ROUGH_START: u16 = 1 << 15;
    pub(crate) const FLAGS: u16 = 1 << 0;
    pub(crate) const EXIT_CODE: u16 = 1 << 1;
    pub(crate) const VTID: u16 = 1 << 2;
    pub(crate) const COMM: u16 = 1 << 3;
    /// Its start is known. A leader that only another thread named has none yet.
    pub(crate) const START: u16 = 1 << 4;
    /// `forked` was emitted.
    pub(crate) const FORK_EMITTED: u16 = 1 << 5;
    /// `reaped` or `autoreaped` was emitted.
    pub(crate) const END_EMITTED: u16 = 1 << 6;
    /// It was concluded to be gone because a snapshot did not show it.
    pub(crate) const CONCLUDED_GONE: u16 = 1 << 7;
    /// Its end was concluded, so it is not known whether it was a zombie.
    pub(crate) const NO_EXIT_STATE: u16 = 1 << 8;
    /// It had children when its exit began.
    pub(crate) const HAD_CHILDREN: u16 = 1 << 10;
    /// It is an `io_uring` worker or another user worker. Its exit clears the PF_ bit.
    pub(crate) const IO_WORKER: u16 = 1 << 11;
    pub(crate) const USER_WORKER: u16 = 1 << 12;
    /// It was in `do_exit()` already when a snapshot first showed that.
    pub(crate) const EXIT_BEGAN_UNSEEN: u16 = 1 << 13;
    /// A snapshot showed it as `EXIT_DEAD`: the kernel counts it until its release.
    pub(crate) const SHOWN_DEAD: u16 = 1 << 14;
    /// Its final usage was added to its group's.
    pub(crate) const ACCOUNTED: u16 = 1 << 9;
}

/// The queue that a task is in. A task is in one queue only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Queue {
    /// None.
    #[default]
    None,
    /// In `do_exit()`, and not yet reported as stuck.
    Exiting,
    /// In `do_exit()`, and reported as stuck.
    Stuck,
    /// A dead leader whose last thread was released; the same `release_task()` may still release the leader.
    Candidate,
    /// A zombie not yet flagged.
    Zombie,
    /// A zombie flagged as old.
    Flagged,
    /// An unconfirmed zombie: no record or snapshot has shown it since records were lost.
    Unconfirmed,
    /// In `EXIT_DEAD`; the record of its release is still to come.
    Dead,
    /// Released.
    Tombstone,
}

/// One task, 96 bytes. The fields are ordered so that those that records of other tasks need are in the middle 32 bytes, which
/// are always in one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(crate) struct Task {
    /// When it entered its present state.
    pub(crate) since: Ktime,
    /// When a record showed this comm; an older record must not change it.
    pub(crate) comm_at: Ktime,
    pub(in crate::store) thread_prev: Option<Ix<Self>>,
    pub(in crate::store) thread_next: Option<Ix<Self>>,
    pub(in crate::store) queue_prev: Option<Ix<Self>>,
    pub(in crate::store) queue_next: Option<Ix<Self>>,

    pub(in crate::store) key: TaskKey,
    /// Its group. The group of a tombstone may be gone.
    pub(in crate::store) group: Option<Ix<Group>>,
    /// The next older task with the same tid.
    pub(in crate::store) same_tid: Option<Ix<Self>>,
    /// The first of the groups whose `real_parent` is this task.
    pub(in crate::store) first_child: Option<Ix<Group>>,
    pub(crate) known: u16,
    pub(in crate::store) state: TaskState,
    pub(in crate::store) queue: Queue,

    pub(crate) comm: Comm,
    pub(crate) flags: u32,
    pub(crate) exit_code: i32,
    pub(crate) vtid: u32,
    pub(crate) provenance: Provenance,
    /// The number of the last snapshot that showed it.
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
    /// Returns its kind, also after its exit cleared PF_ bits.
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

    /// Its state.
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

    /// The task after it in its queue.
    pub(crate) const fn queue_next(&self) -> Option<Ix<Self>> {
        self.queue_next
    }

    /// The next younger task of its group.
    pub(crate) const fn thread_next(&self) -> Option<Ix<Self>> {
        self.thread_next
    }

    /// The first of the groups whose `real_parent` is this task.
    pub(crate) const fn first_child(&self) -> Option<Ix<Group>> {
        self.first_child
    }
}
