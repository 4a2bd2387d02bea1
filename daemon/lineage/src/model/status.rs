//! The wait(2) status of a thread group, and how it is derived from records of its tasks.

use crate::model::record::exit::ExitParts;

/// A status as wait(2) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitStatus(pub i32);

impl WaitStatus {
    /// Returns the signal that killed the group, if one did: `WTERMSIG`.
    #[must_use]
    pub const fn signal(self) -> Option<i32> {
        match self.0 & 0x7f {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Returns the exit code, if no signal killed the group: `WEXITSTATUS`.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        if self.signal().is_none() { Some((self.0 >> 8) & 0xff) } else { None }
    }

    /// Whether it dumped core: `WCOREDUMP`.
    #[must_use]
    pub const fn core_dumped(self) -> bool {
        self.signal().is_some() && self.0 & CORE != 0
    }
}

/// The bit that says that core was dumped.
const CORE: i32 = 0x80;

/// What the records of all its tasks show of a group's wait(2) status.
///
/// The kernel's rule (`wait_task_zombie()`): `signal->group_exit_code` if `SIGNAL_GROUP_EXIT` is set, else the *leader's*
/// `exit_code`. The kernel never clears the flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupStatus {
    /// No record of a task has shown a part of the status.
    #[default]
    Unknown,
    /// The leader died with this code, which is the status unless a group exit follows.
    Leader(i32),
    /// A group exit with this code was in progress when a task began to exit. A core dump can still add its bit.
    Begun(i32),
    /// A group exit with this code, shown by a task after any core dump.
    Group(i32),
}

impl GroupStatus {
    /// Applies the parts of the status that a task showed when it began to exit.
    pub fn learn_early(&mut self, exit: &ExitParts) {
        if let (Self::Unknown | Self::Leader(_) | Self::Begun(_), Some(group)) = (*self, exit.group)
            && group.by_group
        {
            *self = Self::Begun(group.code);
        }
    }

    /// Applies the parts of the status that a dead task of the group showed.
    pub fn learn(&mut self, exit: &ExitParts, is_leader: bool) {
        match (*self, exit.group) {
            // Late records of other threads can lack the core bit that an earlier record had.
            (Self::Group(known), Some(group)) if group.by_group && known != group.code | CORE => {
                *self = Self::Group(group.code);
            }
            (Self::Group(_), _) => {}
            (_, Some(group)) if group.by_group => *self = Self::Group(group.code),
            (Self::Begun(_), _) => {}
            _ if is_leader => {
                if let Some(code) = exit.exit_code {
                    *self = Self::Leader(code);
                }
            }
            _ => {}
        }
    }

    /// Returns the status once it cannot change. Without a group exit, that is when the last task is dead.
    #[must_use]
    pub const fn settled(self, all_dead: bool) -> Option<WaitStatus> {
        match self {
            Self::Group(code) => Some(WaitStatus(code)),
            Self::Leader(code) | Self::Begun(code) if all_dead => Some(WaitStatus(code)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::GroupExit;

    const SEGV: i32 = 0xb;

    fn parts(own: i32, group: Option<(i32, bool)>) -> ExitParts {
        ExitParts { exit_code: Some(own), group: group.map(|(code, by_group)| GroupExit { code, by_group }) }
    }

    #[test]
    fn exit_code_is_shifted_and_a_signal_is_not() {
        let exited = WaitStatus(255 << 8);
        assert_eq!((exited.code(), exited.signal(), exited.core_dumped()), (Some(255), None, false));
        let killed = WaitStatus(9);
        assert_eq!((killed.code(), killed.signal(), killed.core_dumped()), (None, Some(9), false));
        let dumped = WaitStatus(SEGV | CORE);
        assert_eq!((dumped.code(), dumped.signal(), dumped.core_dumped()), (None, Some(SEGV), true));
    }

    #[test]
    fn the_leaders_code_counts_not_the_last_threads() {
        let mut status = GroupStatus::default();
        status.learn(&parts(3 << 8, Some((0, false))), true);
        status.learn(&parts(5 << 8, Some((0, false))), false);
        assert_eq!(status.settled(false), None);
        assert_eq!(status.settled(true), Some(WaitStatus(3 << 8)));
    }

    #[test]
    fn a_group_exit_overrides_a_dead_leader() {
        let mut status = GroupStatus::default();
        status.learn(&parts(3 << 8, Some((0, false))), true);
        status.learn(&parts(7 << 8, Some((7 << 8, true))), false);
        assert_eq!(status.settled(false), Some(WaitStatus(7 << 8)));
        status.learn(&parts(3 << 8, None), true);
        assert_eq!(status.settled(true), Some(WaitStatus(7 << 8)));
    }

    #[test]
    fn what_an_exit_began_with_counts_only_at_the_end() {
        let mut status = GroupStatus::default();
        status.learn_early(&parts(SEGV, Some((SEGV, true))));
        assert_eq!(status.settled(false), None);
        assert_eq!(status.settled(true), Some(WaitStatus(SEGV)));
        status.learn(&parts(SEGV, Some((SEGV | CORE, true))), true);
        assert_eq!(status.settled(false), Some(WaitStatus(SEGV | CORE)));
    }

    #[test]
    fn the_core_bit_is_added_and_stays() {
        let mut status = GroupStatus::default();
        status.learn(&parts(SEGV, Some((SEGV, true))), true);
        status.learn(&parts(SEGV, Some((SEGV | CORE, true))), true);
        status.learn(&parts(SEGV, Some((SEGV, true))), false);
        assert_eq!(status.settled(true), Some(WaitStatus(SEGV | CORE)));
    }
}
