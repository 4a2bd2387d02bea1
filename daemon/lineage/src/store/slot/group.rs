//! A thread group: what users call a process.

use std::sync::Arc;

use crate::model::effect::Reaper;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid};
use crate::model::kinds::{ReparentKind, Span};
use crate::model::life::End;
use crate::model::path_name::PathName;
use crate::model::status::GroupStatus;
use crate::model::usage::GroupUsage;
use crate::store::slot::charged_to::ChargedTo;
use crate::store::slot::parent_account::Account;
use crate::store::slot::pending_reparent::PendingReparent;
use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// Facts of a group that can be unknown, and what was told of it.
pub(crate) mod fact {
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
    pub(crate) const EXIT_EMITTED: u32 = 1 << 13;
    /// It is a zombie, and that was told.
    pub(crate) const ZOMBIE: u32 = 1 << 14;
    /// The zombie is older than the time kept for it.
    pub(crate) const ZOMBIE_OLDER: u32 = 1 << 15;
    /// The zombie is younger than the time kept for it.
    pub(crate) const ZOMBIE_YOUNGER: u32 = 1 << 16;
    /// It is open whether it came to the parent it has: `Rare::open`.
    pub(crate) const PARENT_PENDING: u32 = 1 << 21;
    /// Its leader is dead and others live on.
    pub(crate) const DEAD_LEADER: u32 = 1 << 20;
    /// Its leader died before the others.
    pub(crate) const LEADER_DIED: u32 = 1 << 17;
    /// Whether its present parent ignores SIGCHLD was read when its last task began to die.
    pub(crate) const IGNORED_KNOWN: u32 = 1 << 18;
    /// It does.
    pub(crate) const IGNORED: u32 = 1 << 19;
    /// That is of a parent it came to since then.
    pub(crate) const IGNORED_LATER: u32 = 1 << 24;
    /// Its leader's RCU callback came before the last switch of another of its tasks: the leader is released with that.
    pub(crate) const FREED: u32 = 1 << 25;
    /// It is gone, and its parent has got what it used: `Rare::passed`.
    pub(crate) const CHARGED: u32 = 1 << 26;
    /// Whether it ignores SIGCHLD itself was read when some child of it began to die.
    pub(crate) const IGNORES_KNOWN: u32 = 1 << 22;
    /// It does.
    pub(crate) const IGNORES: u32 = 1 << 23;
}

/// One thread group. First is what the records of its children need of it, so that they fetch one cache line, or two.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Group {
    /// Its leader's start, if [`fact::START`].
    pub(in crate::store) start: Ktime,
    pub(in crate::store) tgid: u32,
    /// Its leader; `None` only in an empty slot.
    pub(in crate::store) leader: Option<Ix<Task>>,
    pub(crate) facts: u32,
    pub(in crate::store) rare: Option<Ix<Rare>>,
    pub(in crate::store) debt: Option<Ix<Account>>,
    pub(in crate::store) namespace: u32,
    pub(crate) executable: Option<Arc<PathName>>,
    pub(in crate::store) namespace_level: u32,

    /// Tasks not past `exit_notify()`, of [`Group::present`].
    pub(in crate::store) live: u32,
    /// Tasks that the kernel still counts: neither `Dead` nor `Released`.
    pub(in crate::store) present: u32,
    /// `real_parent`.
    pub(in crate::store) parent: Option<Ix<Task>>,
    pub(in crate::store) sibling_prev: Option<Ix<Self>>,
    pub(in crate::store) sibling_next: Option<Ix<Self>>,
    pub(in crate::store) parent_start: Ktime,
    /// When the kernel was last seen to have this parent: an older record does not change it back.
    pub(crate) parent_at: Ktime,
    /// Identity of the parent's group, so that telling the parent costs no look at it.
    pub(in crate::store) parent_tgid: u32,
    /// Its tasks, in the order of their creation: the order in which the kernel looks for a live one.
    pub(in crate::store) first_thread: Option<Ix<Task>>,
    pub(in crate::store) last_thread: Option<Ix<Task>>,
    pub(crate) vtgid: u32,
    pub(crate) clone_flags: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    pub(crate) execs: u32,
    pub(crate) exit_signal: i32,
    /// Last exec.
    pub(crate) exec_at: Ktime,
    pub(crate) status: GroupStatus,
}

/// What few groups have before they die.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// Who called clone(2), where that is not the first parent.
    pub(crate) creator: Option<TaskRef>,
    /// Parent before the first reparenting.
    pub(crate) first_parent: Option<GroupKey>,
    pub(crate) reparented: u32,
    /// Last reparenting.
    pub(crate) reparented_at: Ktime,
    pub(crate) reparent_kind: Option<ReparentKind>,
    /// When a record last showed its parent, and of which process that was, where the present one is concluded.
    pub(crate) parent_shown_at: Ktime,
    pub(crate) parent_shown: Option<Tgid>,
    pub(crate) renames: u32,
    /// Threads besides the leader, ever and at most at once.
    pub(crate) threads_created: u32,
    pub(crate) threads_peak: u32,
    /// When the leader died before the others.
    pub(crate) leader_died_at: Option<Ktime>,
    /// Threads that the kernel counted when the leader was seen dead, and that nobody has seen since.
    pub(crate) hidden_threads: Option<u32>,
    pub(crate) tracer: Option<TaskRef>,
    /// When a thread took the place of its leader: what is older is about the old one.
    pub(crate) taken_over_at: Option<Ktime>,
    /// That was some time before: only the last words of the old leader told it.
    pub(crate) taken_over_before: bool,
    /// A task of it that died, and another process's task that its children had as their parent then.
    pub(crate) new_reaper: Option<(TaskKey, TaskRef)>,
    /// A handing on that may not have come about.
    pub(crate) open: Option<PendingReparent>,
    /// The dying parent that released it, as the new one ignores SIGCHLD.
    pub(crate) exiting_reaper: Option<GroupKey>,
    /// Of the tasks that are dead.
    pub(crate) usage: Option<GroupUsage>,
    /// Who has got that, once the group was gone.
    pub(crate) charged_to: Option<ChargedTo>,
    /// Who took it.
    pub(crate) reaper: Option<Reaper>,
    /// How it ended, once that was told, and for how long it was a zombie.
    pub(crate) end: Option<End>,
    pub(crate) zombie: Option<Span>,
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

    /// Its cgroup's id.
    pub(crate) const fn cgroup(&self) -> Option<u64> {
        if self.has(fact::CGROUP) { Some(self.cgroup_id) } else { None }
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

    /// Whether every task of it is past `exit_notify()`.
    pub(crate) const fn is_dead(&self) -> bool {
        self.live == 0 || self.has(fact::SOLE)
    }

    /// Whether its leader is the only task left.
    pub(crate) const fn is_sole(&self) -> bool {
        self.present <= 1 || self.has(fact::SOLE)
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

    /// What few groups have.
    pub(crate) const fn rare(&self) -> Option<Ix<Rare>> {
        self.rare
    }

    /// Its account as a parent.
    pub(crate) const fn debt(&self) -> Option<Ix<Account>> {
        self.debt
    }

    /// Inode number of its pid namespace, if [`fact::NAMESPACE`].
    pub(crate) const fn namespace(&self) -> u32 {
        self.namespace
    }

    /// Depth of its pid namespace.
    pub(crate) const fn namespace_level(&self) -> u32 {
        self.namespace_level
    }

    /// Tasks not past `exit_notify()`.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Tasks that the kernel still counts.
    pub(crate) const fn present(&self) -> u32 {
        self.present
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

    /// Its oldest task.
    pub(crate) const fn first_thread(&self) -> Option<Ix<Task>> {
        self.first_thread
    }
}
