//! The kinds of actions and their stable names.

const _: () = assert!(ActionKind::COUNT <= u32::BITS as usize, "each action has a bit");

/// Which [`Action`](crate::Action) an effect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// `copy_process()` created the task.
    Forked,
    /// `copy_process()` failed.
    CloneFailed,
    /// The task runs another program.
    Execed,
    /// A thread that is not the leader exec'ed and took over the leader's tid.
    ExecTakeover,
    /// The task changed its comm.
    Renamed,
    /// The parent exited and the task has another.
    Reparented,
    /// An uninterruptible sleep is longer than the threshold.
    BlockedFlagged,
    /// That sleep is over.
    BlockedCleared,
    /// Threads, starts of a program, forks or orphans leak.
    LeakFlagged,
    /// That leak is over.
    LeakCleared,
    /// `do_exit()` began.
    Exiting,
    /// `do_exit()` began long ago and has not ended.
    ExitStuck,
    /// `exit_notify()` decided between zombie and dead.
    Exited,
    /// The leader is dead and other threads live.
    LeaderDied,
    /// The last task of the group is dead.
    GroupExited,
    /// Only a wait(2) is missing.
    ZombieBegan,
    /// The zombie is older than the threshold.
    ZombieFlagged,
    /// A wait(2), or another task's `release_task()`, reaped it.
    Reaped,
    /// `exit_notify()` set `EXIT_DEAD`; no wait(2) is needed.
    Autoreaped,
    /// `release_task()`: the tid is free.
    Released,
    /// A cgroup got its first task.
    ScopeBegan,
    /// A cgroup lost its last task.
    ScopeEnded,
}

impl ActionKind {
    /// The number of kinds.
    pub const COUNT: usize = 22;

    /// Every action, in the order in which they come in a life.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Forked,
        Self::CloneFailed,
        Self::Execed,
        Self::ExecTakeover,
        Self::Renamed,
        Self::Reparented,
        Self::BlockedFlagged,
        Self::BlockedCleared,
        Self::LeakFlagged,
        Self::LeakCleared,
        Self::Exiting,
        Self::ExitStuck,
        Self::Exited,
        Self::LeaderDied,
        Self::GroupExited,
        Self::ZombieBegan,
        Self::ZombieFlagged,
        Self::Reaped,
        Self::Autoreaped,
        Self::Released,
        Self::ScopeBegan,
        Self::ScopeEnded,
    ];

    /// Returns the bit that stands for this kind in a set of kinds.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Returns the stable name: the value of `event.action` in JSON and of filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::CloneFailed => "clone_failed",
            Self::Execed => "execed",
            Self::ExecTakeover => "exec_takeover",
            Self::Renamed => "renamed",
            Self::Exiting => "exiting",
            Self::Exited => "exited",
            Self::LeaderDied => "leader_died",
            Self::GroupExited => "group_exited",
            Self::ExitStuck => "exit_stuck",
            Self::BlockedFlagged => "blocked_flagged",
            Self::BlockedCleared => "blocked_cleared",
            Self::LeakFlagged => "leak_flagged",
            Self::LeakCleared => "leak_cleared",
            Self::ZombieBegan => "zombie_began",
            Self::ZombieFlagged => "zombie_flagged",
            Self::Reparented => "reparented",
            Self::Reaped => "reaped",
            Self::Autoreaped => "autoreaped",
            Self::Released => "released",
            Self::ScopeBegan => "scope_began",
            Self::ScopeEnded => "scope_ended",
        }
    }

    /// Returns the names of all actions, separated by commas, for messages.
    #[must_use]
    pub fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Returns the action with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_action() {
        for (place, kind) in ActionKind::ALL.into_iter().enumerate() {
            assert_eq!((ActionKind::from_name(kind.name()), kind as usize), (Some(kind), place));
        }
        assert_eq!(ActionKind::from_name("gap"), None);
    }
}
