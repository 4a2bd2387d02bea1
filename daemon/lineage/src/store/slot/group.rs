//! A thread group: what users call a process.

pub(crate) mod fact;

use std::sync::Arc;

use crate::model::before_exec::BeforeExec;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid};
use crate::model::kinds::ReparentKind;
use crate::model::life::End;
use crate::model::path_name::PathName;
use crate::model::status::GroupStatus;
use crate::store::reaping::Reaping;
use crate::store::slot::extra_ix::ExtraIx;
use crate::store::slot::packed_usage::PackedUsage;
use crate::store::slot::parent_account::Account;
use crate::store::slot::pending_reparent::PendingReparent;
use crate::store::slot::task::Task;
use crate::store::slot::threads::{ThreadBits, Threads};
use crate::store::tables::arena::Ix;
use crate::store::tables::profile::ProfileIx;

/// One thread group. The fields that records of its children need come first, so that they are in one or two cache lines.
#[derive(Clone, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Group {
    /// Its leader's start, if [`fact::START`].
    pub(in crate::store) start: Ktime,
    pub(in crate::store) tgid: u32,
    /// Its leader; `None` only in an empty slot.
    pub(in crate::store) leader: Option<Ix<Task>>,
    pub(in crate::store) facts: u32,
    pub(in crate::store) extra: ExtraIx,
    pub(in crate::store) debt: Option<Ix<Account>>,
    pub(in crate::store) profile: ProfileIx,
    pub(crate) executable: Option<Arc<PathName>>,
    /// What its dead tasks used, and to which process that was added once the group was released.
    pub(in crate::store) usage: Option<Ix<PackedUsage>>,
    /// `real_parent`.
    pub(in crate::store) parent: Option<Ix<Task>>,
    pub(in crate::store) sibling_prev: Option<Ix<Self>>,
    pub(in crate::store) sibling_next: Option<Ix<Self>>,
    pub(in crate::store) exit_signal: i16,
    /// Its tasks: see [`Threads`].
    pub(in crate::store) threads: ThreadBits,
    /// See [`Group::status`].
    pub(in crate::store) status_code: i32,

    pub(in crate::store) parent_start: Ktime,
    /// When a record last showed this parent; an older record must not change it.
    pub(in crate::store) parent_at: Ktime,
    /// The tgid of the parent's group, so that an effect can name the parent without reading its slot.
    pub(in crate::store) parent_tgid: u32,
    pub(crate) execs: u32,
    /// Last exec.
    pub(crate) exec_at: Ktime,
}

const _: () = assert!(size_of::<Group>() == 96, "a zombie's bytes are budgeted: see tests/memory.rs");

/// Facts of groups that have, or had, more than one thread, another parent, or another comm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    /// Last reparenting.
    pub(crate) reparented_at: Ktime,
    first_parent_start: Ktime,
    leader_died_at: Ktime,
    /// When a record last showed its parent, if the present one is concluded.
    pub(crate) parent_shown_at: Ktime,
    first_parent_tgid: u32,
    parent_shown: u32,
    pub(crate) reparented: u32,
    pub(crate) renames: u32,
    /// Threads besides the leader: in total, and the most at once.
    pub(crate) threads_created: u32,
    pub(crate) threads_peak: u32,
    hidden_threads: u32,
    /// Its tasks, unless the leader is the only one.
    pub(in crate::store) threads: Threads,
    /// A reparenting that may not have taken place.
    pub(crate) pending: Option<Ix<PendingReparent>>,
    pub(crate) rare: Option<Ix<Rare>>,
    pub(crate) reparent_kind: Option<ReparentKind>,
    /// Bits for the fields without an `Option`: whether each is known.
    known: u8,
}

const _: () = assert!(size_of::<Extra>() == 88, "a zombie's bytes are budgeted: see tests/memory.rs");

const FIRST_PARENT: u8 = 1 << 0;
const FIRST_PARENT_START: u8 = 1 << 1;
const LEADER_DIED_AT: u8 = 1 << 2;
const HIDDEN_THREADS: u8 = 1 << 3;
const PARENT_SHOWN: u8 = 1 << 4;

impl Extra {
    const fn knows(&self, what: u8) -> bool {
        self.known & what != 0
    }

    /// Returns the parent before the first reparenting.
    pub(crate) fn first_parent(&self) -> Option<GroupKey> {
        let start = self.knows(FIRST_PARENT_START).then_some(self.first_parent_start);
        self.knows(FIRST_PARENT).then_some(GroupKey { tgid: Tgid(self.first_parent_tgid), start })
    }

    pub(crate) fn set_first_parent(&mut self, parent: Option<GroupKey>) {
        self.known &= !(FIRST_PARENT | FIRST_PARENT_START);
        let Some(parent) = parent else { return };
        self.known |= FIRST_PARENT;
        self.first_parent_tgid = parent.tgid.0;
        if let Some(start) = parent.start {
            self.known |= FIRST_PARENT_START;
            self.first_parent_start = start;
        }
    }

    /// Returns when the leader died, if it died before other threads.
    pub(crate) fn leader_died_at(&self) -> Option<Ktime> {
        self.knows(LEADER_DIED_AT).then_some(self.leader_died_at)
    }

    pub(crate) const fn set_leader_died_at(&mut self, at: Ktime) {
        self.known |= LEADER_DIED_AT;
        self.leader_died_at = at;
    }

    /// Returns the process of the last parent that a record showed.
    pub(crate) fn parent_shown(&self) -> Option<Tgid> {
        self.knows(PARENT_SHOWN).then_some(Tgid(self.parent_shown))
    }

    pub(crate) fn set_parent_shown(&mut self, parents: Option<Tgid>) {
        self.known &= !PARENT_SHOWN;
        if let Some(Tgid(tgid)) = parents {
            self.known |= PARENT_SHOWN;
            self.parent_shown = tgid;
        }
    }

    /// Returns the number of threads that the kernel counted when a record showed the leader dead, and that no record has shown.
    pub(crate) fn hidden_threads(&self) -> Option<u32> {
        self.knows(HIDDEN_THREADS).then_some(self.hidden_threads)
    }

    pub(crate) const fn set_hidden_threads(&mut self, threads: u32) {
        self.known |= HIDDEN_THREADS;
        self.hidden_threads = threads;
    }
}

/// Facts that very few groups have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// The task that called clone(2), if it is not the first parent.
    pub(crate) creator: Option<TaskRef>,
    pub(crate) tracer: Option<TaskRef>,
    /// When a thread took the leader's place; older records are about the old leader.
    pub(crate) taken_over_at: Option<Ktime>,
    /// Whether the exec may be older than that time, because only the last record of the old leader showed it.
    pub(crate) taken_over_before: bool,
    /// A dead task of the group, and the task of another process that adopted its children.
    pub(crate) new_reaper: Option<(TaskKey, TaskRef)>,
    /// Whether the kernel's rule alone, and no record, shows that children of one of its threads went to another process.
    pub(crate) children_by_rule: bool,
    /// The exiting parent that released it, because the new parent ignores SIGCHLD.
    pub(crate) exiting_reaper: Option<GroupKey>,
    /// How it was reaped, if another record shows its release.
    pub(crate) reaping: Option<Reaping>,
    /// The thread of its parent that forked it, and when that thread ended and a sibling thread adopted the child.
    pub(crate) forked_by: Option<(TaskRef, Ktime)>,
    /// What it did before its last exec.
    pub(crate) before_exec: Option<Box<BeforeExec>>,
    /// When it was last moved to another cgroup; older records have the former cgroup.
    pub(crate) attached_at: Ktime,
}

impl Group {
    pub(crate) const fn has(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    pub(crate) const fn set(&mut self, fact: u32, yes: bool) {
        if yes {
            self.facts |= fact;
        } else {
            self.facts &= !fact;
        }
    }

    /// Returns how it ended, once that was emitted.
    pub(crate) const fn end(&self) -> Option<End> {
        if self.has(fact::REAPED) {
            Some(End::Reaped)
        } else if self.has(fact::AUTOREAPED) {
            Some(End::Autoreaped)
        } else {
            None
        }
    }

    /// Sets how it ended.
    pub(crate) fn set_end(&mut self, end: End) {
        self.set(fact::REAPED, end == End::Reaped);
        self.set(fact::AUTOREAPED, end == End::Autoreaped);
    }

    /// Returns what is known of its wait(2) status.
    pub(crate) const fn status(&self) -> GroupStatus {
        match (self.facts & fact::STATUS) >> fact::STATUS_SHIFT {
            0 => GroupStatus::Unknown,
            1 => GroupStatus::Leader(self.status_code),
            2 => GroupStatus::Begun(self.status_code),
            _ => GroupStatus::Group(self.status_code),
        }
    }

    pub(crate) const fn set_status(&mut self, status: GroupStatus) {
        let (kind, code) = match status {
            GroupStatus::Unknown => (0, 0),
            GroupStatus::Leader(code) => (1, code),
            GroupStatus::Begun(code) => (2, code),
            GroupStatus::Group(code) => (3, code),
        };
        self.facts = self.facts & !fact::STATUS | kind << fact::STATUS_SHIFT;
        self.status_code = code;
    }

    /// Its identity.
    pub(crate) const fn key(&self) -> GroupKey {
        GroupKey { tgid: Tgid(self.tgid), start: if self.has(fact::START) { Some(self.start) } else { None } }
    }

    /// Its parent's identity.
    pub(crate) const fn parent_key(&self) -> Option<GroupKey> {
        if !self.has(fact::PARENT) {
            return None;
        }
        let start = if self.has(fact::PARENT_START) { Some(self.parent_start) } else { None };
        Some(GroupKey { tgid: Tgid(self.parent_tgid), start })
    }

    /// Whether it is a zombie that is counted at its parent.
    pub(crate) const fn is_owed_a_wait(&self) -> bool {
        self.has(fact::ZOMBIE) && !self.has(fact::UNCONFIRMED)
    }

    /// Whether every task of it is past `exit_notify()`.
    pub(crate) const fn is_dead(&self) -> bool {
        !self.threads.any_live() || self.has(fact::SOLE)
    }

    /// Whether its leader is the only task left.
    pub(crate) const fn is_sole(&self) -> bool {
        !self.threads.several_present() || self.has(fact::SOLE)
    }

    /// Its leader's start; 0 where that is unknown.
    pub(crate) const fn start(&self) -> Ktime {
        self.start
    }

    /// Its id.
    pub(crate) const fn tgid(&self) -> u32 {
        self.tgid
    }

    /// Its leader.
    pub(crate) const fn leader(&self) -> Option<Ix<Task>> {
        self.leader
    }

    /// Which of its facts are known: bits of [`fact`].
    pub(crate) const fn facts(&self) -> u32 {
        self.facts
    }

    /// Its counts as a parent.
    pub(crate) const fn debt(&self) -> Option<Ix<Account>> {
        self.debt
    }

    /// Returns when a record last showed this parent.
    pub(crate) const fn parent_at(&self) -> Ktime {
        self.parent_at
    }

    /// Returns the signal that its parent gets when it ends, if [`fact::EXIT_SIGNAL`] is set.
    pub(crate) const fn exit_signal(&self) -> i32 {
        self.exit_signal as i32
    }

    /// Sets the exit signal. A number that no kernel uses counts as unknown.
    pub(crate) fn set_exit_signal(&mut self, signal: i32) {
        let fits = i16::try_from(signal);
        self.exit_signal = fits.unwrap_or_default();
        self.set(fact::EXIT_SIGNAL, fits.is_ok());
    }

    /// The task that is its `real_parent`.
    pub(crate) const fn parent(&self) -> Option<Ix<Task>> {
        self.parent
    }

    /// Tgid of its parent's group, if [`fact::PARENT`].
    pub(crate) const fn parent_tgid(&self) -> u32 {
        self.parent_tgid
    }

    /// The next older child of its parent.
    pub(crate) const fn sibling_next(&self) -> Option<Ix<Self>> {
        self.sibling_next
    }
}
