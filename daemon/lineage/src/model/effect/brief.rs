//! What happened, as counters need it: without names, ids and accounting.

use crate::model::action_kind::ActionKind;
use crate::model::death::{Cause, GroupDeath};
use crate::model::effect::{Action, Effect};
use crate::model::id::{Ktime, Tgid};
use crate::model::kinds::{ReaperKind, ReparentKind};
use crate::model::leak::LeakKind;
use crate::model::status::WaitStatus;
use crate::model::task::TaskKind;

/// The processes whose effects are built. For all others the lineage creates a [`Brief`] only, which costs a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The effects of all processes are built.
    #[default]
    All,
    /// All effects of these processes are built, and some effects of all others.
    Of([Option<Tgid>; 2], WantedActions),
}

/// The actions whose effects are built for every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedActions {
    /// A bit for each [`ActionKind`].
    pub kinds: u32,
    /// Which `group_exited` effects are built.
    pub deaths: WantedDeaths,
    /// `reaped` effects are built only of zombies that were at least this old, ns.
    pub zombie_ns: u64,
}

/// Which deaths are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WantedDeaths {
    /// By the out-of-memory killer, or by a signal from a process in another cgroup.
    #[default]
    Foreign,
    /// All but those of processes that exited by themselves, with any code.
    Signals,
    /// All.
    All,
}

impl WantedActions {
    /// Returns whether an action is among them.
    #[must_use]
    pub fn has(&self, action: &Action) -> bool {
        if !self.may_have(action.kind()) {
            return false;
        }
        match action {
            Action::GroupExited { death, .. } => self.deaths.has(death.as_deref()),
            Action::Reaped { zombie, .. } => zombie.is_some_and(|zombie| zombie.ns >= self.zombie_ns),
            _ => true,
        }
    }

    /// Returns actions that have those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        // A condition counts only where its action is wanted.
        let deaths =
            |of: Self| if of.may_have(ActionKind::GroupExited) { of.deaths } else { WantedDeaths::Foreign };
        let zombie_ns = |of: Self| if of.may_have(ActionKind::Reaped) { of.zombie_ns } else { u64::MAX };
        Self {
            kinds: self.kinds | other.kinds,
            deaths: deaths(self).max(deaths(other)),
            zombie_ns: zombie_ns(self).min(zombie_ns(other)),
        }
    }

    /// Returns whether some actions of this kind are wanted.
    const fn may_have(self, kind: ActionKind) -> bool {
        self.kinds & kind.bit() != 0
    }
}

impl WantedDeaths {
    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Signals => "signals",
            Self::All => "all",
        }
    }

    /// Returns whether a death is among them; `None` stands for a process that exited with code 0.
    #[must_use]
    pub fn has(self, death: Option<&GroupDeath>) -> bool {
        match self {
            Self::All => true,
            Self::Signals => death.is_some_and(|death| death.cause != Cause::Exited),
            Self::Foreign => death.is_some_and(GroupDeath::is_foreign),
        }
    }
}

impl Wanted {
    /// Returns whether all effects of a process are built.
    pub(crate) fn has(&self, tgid: Tgid) -> bool {
        match self {
            Self::All => true,
            Self::Of(processes, _) => processes.contains(&Some(tgid)),
        }
    }

    /// Returns whether the effect of this action is built.
    pub(crate) fn has_action(&self, tgid: Tgid, action: &Action) -> bool {
        match self {
            Self::All => true,
            Self::Of(processes, actions) => processes.contains(&Some(tgid)) || actions.has(action),
        }
    }

    /// Returns whether effects of this kind may be built.
    pub(crate) const fn may_have(&self, kind: ActionKind) -> bool {
        match self {
            Self::All => true,
            Self::Of(_, actions) => actions.may_have(kind),
        }
    }
}

/// One thing that happened to one task. It replaces an [`Effect`] that is not read: see [`Wanted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// When, by the kernel's clock.
    pub at: Ktime,
    /// What the task is.
    pub kind: TaskKind,
    /// Its cgroup's id.
    pub cgroup_id: Option<u64>,
    /// What happened.
    pub change: Change,
}

/// What happened: an [`Action`] with the details that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `copy_process()` created the task.
    Forked,
    /// `copy_process()` failed.
    CloneFailed {
        /// The error.
        errno: i32,
    },
    /// Runs another program.
    Execed {
        /// Of the first exec of a process whose fork was seen: time since `copy_process()`.
        since_fork_ns: Option<u64>,
    },
    /// A thread that is not the leader exec'ed.
    ExecTakeover,
    /// Changed its comm.
    Renamed,
    /// `exit_notify()` has decided.
    Exited {
        /// The exit status of a thread that is not its group's leader; the outer `None` for a leader.
        thread: Option<Option<WaitStatus>>,
        /// Time in `do_exit()`.
        exit_ns: Option<u64>,
    },
    /// The leader is dead and other threads live on.
    LeaderDied,
    /// The last task of the group is dead.
    GroupExited {
        /// The status that wait(2) returns.
        status: Option<WaitStatus>,
        /// Why it ended.
        cause: Cause,
        /// Time since its last exec.
        since_exec_ns: Option<u64>,
    },
    /// `do_exit()` began long ago and has not ended.
    ExitStuck,
    /// Has been in uninterruptible sleep for longer than the threshold.
    BlockedFlagged,
    /// It causes a leak.
    LeakFlagged {
        /// The kind of leak.
        kind: LeakKind,
    },
    /// Has been a zombie for longer than the threshold.
    ZombieFlagged,
    /// Its parent exited and it has another.
    Reparented {
        /// What the new one is.
        kind: ReparentKind,
    },
    /// Reaped by a wait(2), or by `release_task()` of another task.
    Reaped {
        /// The relation of the task that did it.
        by: ReaperKind,
        /// For how long it was a zombie, ns.
        zombie_ns: Option<u64>,
    },
    /// No process waits for it.
    Autoreaped,
    /// Its tid is free.
    Released,
    /// A cgroup got its first task.
    ScopeBegan,
    /// A cgroup lost its last task.
    ScopeEnded,
    /// Nothing that is counted.
    Uncounted,
}

/// The facts about a task and its group after the change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) kind: TaskKind,
    pub(crate) is_leader_tid: bool,
    /// The task's own exit status.
    pub(crate) exit_code: Option<i32>,
    /// The group's.
    pub(crate) status: Option<WaitStatus>,
    pub(crate) cgroup_id: Option<u64>,
}

impl Brief {
    /// What counters need of an effect.
    #[must_use]
    pub fn of(effect: &Effect) -> Self {
        let Effect { at, process, thread, action, .. } = effect;
        let subject = Subject {
            kind: thread.kind,
            is_leader_tid: thread.key.tid == process.key.tgid.leader(),
            exit_code: thread.exit_code,
            status: process.status,
            cgroup_id: thread.cgroup_id,
        };
        Self::new(*at, subject, action)
    }

    #[expect(clippy::inline_always, reason = "see `Lineage::emit`")]
    #[inline(always)]
    pub(crate) fn new(at: Ktime, subject: Subject, action: &Action) -> Self {
        let Subject { kind, status, .. } = subject;
        let mut cgroup_id = subject.cgroup_id;
        let change = match action {
            Action::Forked { .. } => Change::Forked,
            Action::ScopeBegan(scope) | Action::ScopeEnded(scope) => {
                cgroup_id = Some(scope.cgroup_id);
                if matches!(action, Action::ScopeBegan(_)) { Change::ScopeBegan } else { Change::ScopeEnded }
            }
            Action::CloneFailed { errno, .. } => Change::CloneFailed { errno: *errno },
            Action::Execed { since_fork_ns, .. } => Change::Execed { since_fork_ns: *since_fork_ns },
            Action::ExecTakeover { .. } => Change::ExecTakeover,
            Action::Renamed { .. } => Change::Renamed,
            Action::Exited { exit_ns, .. } => {
                let is_other_thread = !subject.is_leader_tid && kind != TaskKind::Process;
                let thread = is_other_thread.then(|| subject.exit_code.map(WaitStatus));
                Change::Exited { thread, exit_ns: *exit_ns }
            }
            Action::LeaderDied { .. } => Change::LeaderDied,
            Action::GroupExited { death, since_exec_ns, .. } => {
                let by_itself = if status.is_some() { Cause::Exited } else { Cause::Unknown };
                let cause = death.as_ref().map_or(by_itself, |death| death.cause);
                Change::GroupExited { status, cause, since_exec_ns: *since_exec_ns }
            }
            Action::ExitStuck { .. } => Change::ExitStuck,
            Action::BlockedFlagged(_) => Change::BlockedFlagged,
            Action::LeakFlagged(leak) => Change::LeakFlagged { kind: leak.kind() },
            Action::ZombieFlagged { .. } => Change::ZombieFlagged,
            Action::Reparented { kind, .. } => Change::Reparented { kind: *kind },
            Action::Reaped { reaper, zombie } => Change::Reaped {
                by: reaper.map_or(ReaperKind::Other, |reaper| reaper.kind),
                zombie_ns: zombie.map(|zombie| zombie.ns),
            },
            Action::Autoreaped => Change::Autoreaped,
            Action::Released { .. } => Change::Released,
            Action::Exiting { .. }
            | Action::BlockedCleared { .. }
            | Action::LeakCleared(_)
            | Action::ZombieBegan { .. } => Change::Uncounted,
        };
        Self { at, kind, cgroup_id, change }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_counts_where_its_action_is_wanted() {
        let old = WantedActions { kinds: ActionKind::Reaped.bit(), deaths: WantedDeaths::All, zombie_ns: 7 };
        let foreign = WantedActions {
            kinds: ActionKind::GroupExited.bit(),
            deaths: WantedDeaths::Foreign,
            zombie_ns: 0,
        };
        let both = WantedActions::default().and(old).and(foreign);
        assert_eq!((both.deaths, both.zombie_ns), (WantedDeaths::Foreign, 7));
        assert_eq!(both.kinds, old.kinds | foreign.kinds);
    }
}
