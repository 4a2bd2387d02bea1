//! The kinds of records, and the hook points that some of them come from.

/// The kinds of record. The number is the `kind` of a [`crate::Header`].
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `copy_process()` made a task: [`crate::TaskNew`].
    TaskNew = 1,
    /// `copy_process()` returned an error: [`crate::CloneFailed`].
    CloneFailed = 2,
    /// A task passed the point of no return in `execve(2)`: [`crate::Exec`].
    Exec = 3,
    /// The argument vector of the exec before it, if requested: [`crate::ExecArgs`].
    ExecArgs = 4,
    /// A task's comm changed: [`crate::Renamed`].
    Renamed = 5,
    /// `do_exit()` began: [`crate::Exiting`].
    Exiting = 6,
    /// `exit_notify()` has decided, or `do_exit()` has reached a later point: [`crate::Exited`].
    Exited = 7,
    /// A child was reparented because its parent exited: [`crate::Reparented`].
    Reparented = 8,
    /// `release_task()`, or on the tracepoint rung the RCU callback after it: [`crate::Released`].
    Released = 9,
    /// One task as the iterator saw it: [`crate::Snapshot`]. Never in the ring.
    Snapshot = 10,
    /// A task was moved to another cgroup: [`crate::CgroupAttached`].
    CgroupAttached = 11,
    /// A signal that can end, stop or continue a task was generated: [`crate::SignalSent`].
    SignalSent = 12,
    /// The out-of-memory killer has chosen a process: [`crate::OomVictim`].
    OomVictim = 13,
    /// A cgroup was made, removed, populated or emptied: [`crate::CgroupChanged`].
    CgroupChanged = 14,
}

impl Kind {
    /// One more than the largest kind: the length of arrays indexed by kind.
    pub const COUNT: usize = 15;

    /// Every kind, in the order of its number.
    pub const ALL: [Self; Self::COUNT - 1] = [
        Self::TaskNew,
        Self::CloneFailed,
        Self::Exec,
        Self::ExecArgs,
        Self::Renamed,
        Self::Exiting,
        Self::Exited,
        Self::Reparented,
        Self::Released,
        Self::Snapshot,
        Self::CgroupAttached,
        Self::SignalSent,
        Self::OomVictim,
        Self::CgroupChanged,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Stable name for metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaskNew => "task_new",
            Self::CloneFailed => "clone_failed",
            Self::Exec => "exec",
            Self::ExecArgs => "exec_args",
            Self::Renamed => "renamed",
            Self::Exiting => "exiting",
            Self::Exited => "exited",
            Self::Reparented => "reparented",
            Self::Released => "released",
            Self::Snapshot => "snapshot",
            Self::CgroupAttached => "cgroup_attached",
            Self::SignalSent => "signal_sent",
            Self::OomVictim => "oom_victim",
            Self::CgroupChanged => "cgroup_changed",
        }
    }

    /// Size of a record of this kind, header included, in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::TaskNew => size_of::<crate::TaskNew>(),
            Self::CloneFailed => size_of::<crate::CloneFailed>(),
            Self::Exec => size_of::<crate::Exec>(),
            Self::ExecArgs => size_of::<crate::ExecArgs>(),
            Self::Renamed => size_of::<crate::Renamed>(),
            Self::Exiting => size_of::<crate::Exiting>(),
            Self::Exited => size_of::<crate::Exited>(),
            Self::Reparented => size_of::<crate::Reparented>(),
            Self::Released => size_of::<crate::Released>(),
            Self::Snapshot => size_of::<crate::Snapshot>(),
            Self::CgroupAttached => size_of::<crate::CgroupAttached>(),
            Self::SignalSent => size_of::<crate::SignalSent>(),
            Self::OomVictim => size_of::<crate::OomVictim>(),
            Self::CgroupChanged => size_of::<crate::CgroupChanged>(),
        }
    }
}

/// The function that an [`crate::Exited`] record comes from.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitSource {
    /// `exit_notify()` itself.
    ExitNotify = 1,
    /// `proc_exit_connector()`, the first call after it.
    ProcExitConnector = 2,
    /// `do_task_dead()`, the last call of `do_exit()`.
    DoTaskDead = 3,
    /// The task's final `sched_switch`.
    FinalSwitch = 4,
}

impl ExitSource {
    /// Returns the source with this number.
    #[must_use]
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::ExitNotify),
            2 => Some(Self::ProcExitConnector),
            3 => Some(Self::DoTaskDead),
            4 => Some(Self::FinalSwitch),
            _ => None,
        }
    }
}

/// The point of a task's release that a [`crate::Released`] record comes from.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseSource {
    /// Entry of `release_task()`: the current task is the reaper.
    Entry = 1,
    /// Return of a `release_task()` whose loop released the group's dead leader too, without a second entry.
    SecondTurn = 2,
    /// `delayed_put_task_struct()`: an RCU grace period later, reaper unknown.
    Free = 3,
}

impl ReleaseSource {
    /// Returns the source with this number.
    #[must_use]
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Entry),
            2 => Some(Self::SecondTurn),
            3 => Some(Self::Free),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_to_the_kind_that_has_it() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_wire(kind as u16), Some(kind));
        }
        assert_eq!(Kind::from_wire(0), None);
        assert_eq!(Kind::from_wire(Kind::COUNT as u16), None);
    }

    #[test]
    fn every_source_survives_its_number() {
        for n in 1..=4 {
            assert_eq!(ExitSource::from_wire(n).map(|s| s as u32), Some(n));
        }
        for n in 1..=3 {
            assert_eq!(ReleaseSource::from_wire(n).map(|s| s as u32), Some(n));
        }
        assert_eq!(ExitSource::from_wire(0), None);
        assert_eq!(ReleaseSource::from_wire(4), None);
    }
}
