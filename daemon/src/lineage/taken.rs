//! Who took a group, from when that is told until the group is released.
//!
//! Nearly always both are told by one record: so the last one is kept in one place, and not in each group.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Reaper, Span};
use super::group::{Group, fact};
use super::id::Ktime;
use super::task::TaskState;

/// The last group of which this was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastTaken {
    pub(super) group: Ix<Group>,
    taken: Taken,
}

/// How a group was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// By whom.
    pub(super) reaper: Option<Reaper>,
    /// For how long it was a zombie.
    pub(super) zombie: Option<Span>,
    /// When its last task died, where that was seen.
    pub(super) ended_at: Option<Ktime>,
    /// When `reaped` or `autoreaped` was told.
    pub(super) at: Option<Ktime>,
}

impl Lineage {
    pub(super) fn keep_taken(&mut self, group: Ix<Group>, taken: Taken) {
        let former = self.taken.replace(LastTaken { group, taken });
        if let Some(LastTaken { group: other, taken }) = former.filter(|former| former.group != group) {
            self.rare(other).taken = Some(taken);
        }
    }

    /// How a group was taken.
    pub(super) fn taken_of(&self, group: Ix<Group>) -> Taken {
        match self.taken.filter(|taken| taken.group == group) {
            Some(LastTaken { taken, .. }) => taken,
            None => self.rare_of(&self.groups[group]).and_then(|rare| rare.taken).unwrap_or_default(),
        }
    }

    /// When the last task of a group died, as `group_exited` told it; `None` where that was before anyone looked.
    pub(super) fn ended_at(&self, group: Ix<Group>) -> Option<Ktime> {
        let members = &self.groups[group];
        let leader = &self.tasks[members.leader?];
        let is_over = members.has(fact::EXIT_TOLD) && !members.has(fact::ZOMBIE_OLDER);
        // Told in the record that is applied now, it can have become a zombie before.
        let just_told = self.group_exit.filter(|&(of, _)| of == group).map(|(_, at)| at);
        let since = matches!(leader.state, TaskState::Zombie | TaskState::Dead).then_some(leader.since);
        just_told.or(since).filter(|_| is_over)
    }
}
