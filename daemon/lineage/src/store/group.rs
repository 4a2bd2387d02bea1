//! A thread group: what users call a process.

use std::sync::Arc;

use super::arena::Ix;
use super::bequest::Passed;
use super::debt::Account;
use super::effect::{Reaper, ReparentKind, Span};
use super::handover::Handover;
use super::id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid};
use super::life::End;
use super::paths::PathName;
use super::status::GroupStatus;
use super::task::Task;
use super::usage::GroupUsage;

/// Facts of a group that can be unknown, and what was told of it.
pub(super) mod fact {
    pub(crate) const CLONE_FLAGS: u32 = 1 << 0;
    pub(crate) const CGROUP: u32 = 1 << 1;
    pub(crate) const NAMESPACE: u32 = 1 << 2;
    pub(crate) const VTGID: u32 = 1 << 3;
    pub(crate) const CREDENTIALS: u32 = 1 << 4;
    pub(crate) const EXIT_SIGNAL: u32 = 1 << 5;
    pub(crate) const START: u32 = 1 << 6;
    pub(crate) const PARENT: u32 = 1 << 7;
    pub(crate) const PARENT_START: u32 = 1 << 8;
    /// The present parent was concluded, not seen.
    pub(crate) const PARENT_INFERRED: u32 = 1 << 9;
    /// Holds the parent that vforked it.
    pub(crate) const HOLDS_PARENT: u32 = 1 << 10;
    /// Was seen to adopt orphans though it is no namespace's init.
    pub(crate) const SUBREAPER: u32 = 1 << 11;
    /// The kernel itself counted no other task than the leader any more.
    pub(crate) const SOLE: u32 = 1 << 12;
    /// The death of its last task was told.
    pub(crate) const EXIT_TOLD: u32 = 1 << 13;
    /// It is a zombie, and that was told.
    pub(crate) const ZOMBIE: u32 = 1 << 14;
    /// The zombie is older than the time kept for it.
    pub(crate) const ZOMBIE_OLDER: u32 = 1 << 15;
    /// The zombie is younger than the time kept for it.
    pub(crate) const ZOMBIE_YOUNGER: u32 = 1 << 16;
    /// It is open whether it came to the parent it has: `Rare::open`.
    pub(crate) const OPEN: u32 = 1 << 21;
    /// Its leader is dead and others live on.
    pub(crate) const DEAD_LEADER: u32 = 1 << 20;
    /// Its leader died before the others.
    pub(crate) const LEADER_DIED: u32 = 1 << 17;
    /// Whether its present parent ignores SIGCHLD was read when its last task began to die.
    pub(crate) const IGNORED_KNOWN: u32 = 1 << 18;
    /// It does.
    pub(crate) const IGNORED: u32 = 1 << 19;
    /// That is of a parent it came to since then.
    pub(crate) const IGNORED_SINCE: u32 = 1 << 24;
    /// Its leader's RCU callback came before the last switch of another of its tasks: the leader is released with that.
    pub(crate) const FREED: u32 = 1 << 25;
    /// It is gone, and its parent has got what it used: `Rare::passed`.
    pub(crate) const PASSED: u32 = 1 << 26;
    /// Whether it ignores SIGCHLD itself was read when some child of it began to die.
    pub(crate) const IGNORES_KNOWN: u32 = 1 << 22;
    /// It does.
    pub(crate) const IGNORES: u32 = 1 << 23;
}

/// One thread group. First is what the records of its children need of it, so that they fetch one cache line, or two.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct Group {
    /// Its leader's start, if [`fact::START`].
    pub(super) start: Ktime,
    pub(super) tgid: u32,
    /// Its leader; `None` only in an empty slot.
    pub(super) leader: Option<Ix<Task>>,
    pub(super) facts: u32,
    pub(super) rare: Option<Ix<Rare>>,
    pub(super) debt: Option<Ix<Account>>,
    pub(super) namespace: u32,
    pub(super) executable: Option<Arc<PathName>>,
    pub(super) namespace_level: u32,

    /// Tasks not past `exit_notify()`, of [`Group::present`].
    pub(super) live: u32,
    /// Tasks that the kernel still counts: neither `Dead` nor `Released`.
    pub(super) present: u32,
    /// `real_parent`.
    pub(super) parent: Option<Ix<Task>>,
    pub(super) sibling_prev: Option<Ix<Self>>,
    pub(super) sibling_next: Option<Ix<Self>>,
    pub(super) parent_start: Ktime,
    /// When the kernel was last seen to have this parent: an older record does not change it back.
    pub(super) parent_at: Ktime,
    /// Identity of the parent's group, so that telling the parent costs no look at it.
    pub(super) parent_tgid: u32,
    /// Its tasks, in the order of their creation: the order in which the kernel looks for a live one.
    pub(super) first_thread: Option<Ix<Task>>,
    pub(super) last_thread: Option<Ix<Task>>,
    pub(super) vtgid: u32,
    pub(super) clone_flags: u64,
    pub(super) cgroup_id: u64,
    pub(super) uid: u32,
    pub(super) euid: u32,
    pub(super) execs: u32,
    pub(super) exit_signal: i32,
    /// Last exec.
    pub(super) exec_at: Ktime,
    pub(super) status: GroupStatus,
}

/// What few groups have before they die.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    /// Who called clone(2), where that is not the first parent.
    pub(super) creator: Option<TaskRef>,
    /// Parent before the first reparenting.
    pub(super) first_parent: Option<GroupKey>,
    pub(super) reparented: u32,
    /// Last reparenting.
    pub(super) reparented_at: Ktime,
    pub(super) reparent_kind: Option<ReparentKind>,
    /// When a record last showed its parent, and of which process that was, where the present one is concluded.
    pub(super) parent_shown_at: Ktime,
    pub(super) parent_shown: Option<Tgid>,
    pub(super) renames: u32,
    /// Threads besides the leader, ever and at most at once.
    pub(super) threads_created: u32,
    pub(super) threads_peak: u32,
    /// When the leader died before the others.
    pub(super) leader_died_at: Option<Ktime>,
    /// Threads that the kernel counted when the leader was seen dead, and that nobody has seen since.
    pub(super) hidden_threads: Option<u32>,
    pub(super) tracer: Option<TaskRef>,
    /// When a thread took the place of its leader: what is older is about the old one.
    pub(super) taken_over_at: Option<Ktime>,
    /// That was some time before: only the last words of the old leader told it.
    pub(super) taken_over_before: bool,
    /// A task of it that died, and another process's task that its children had as their parent then.
    pub(super) heir: Option<(TaskKey, TaskRef)>,
    /// A handing on that may not have come about.
    pub(super) open: Option<Handover>,
    /// The dying parent that released it, as the new one ignores SIGCHLD.
    pub(super) taker: Option<GroupKey>,
    /// Of the tasks that are dead.
    pub(super) usage: Option<GroupUsage>,
    /// Who has got that, once the group was gone.
    pub(super) passed: Option<Passed>,
    /// Who took it.
    pub(super) reaper: Option<Reaper>,
    /// How it ended, once that was told, and for how long it was a zombie.
    pub(super) end: Option<End>,
    pub(super) zombie: Option<Span>,
}

impl Group {
    pub(super) const fn has(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    pub(super) const fn set(&mut self, fact: u32, yes: bool) {
        if yes {
            self.facts |= fact;
        } else {
            self.facts &= !fact;
        }
    }

    /// Its cgroup's id.
    pub(super) const fn cgroup(&self) -> Option<u64> {
        if self.has(fact::CGROUP) { Some(self.cgroup_id) } else { None }
    }

    /// Its identity.
    pub(super) const fn key(&self) -> GroupKey {
        GroupKey { tgid: Tgid(self.tgid), start: if self.has(fact::START) { Some(self.start) } else { None } }
    }

    /// Its parent's identity.
    pub(super) const fn parent_key(&self) -> Option<GroupKey> {
        if !self.has(fact::PARENT) {
            return None;
        }
        let start = if self.has(fact::PARENT_START) { Some(self.parent_start) } else { None };
        Some(GroupKey { tgid: Tgid(self.parent_tgid), start })
    }

    /// Whether every task of it is past `exit_notify()`.
    pub(super) const fn is_dead(&self) -> bool {
        self.live == 0 || self.has(fact::SOLE)
    }

    /// Whether its leader is the only task left.
    pub(super) const fn is_sole(&self) -> bool {
        self.present <= 1 || self.has(fact::SOLE)
    }
}
