//! How a group was reaped, kept from the record that shows it until the group is released.
//!
//! Nearly always one record shows both, so the last reaping is kept in one place and not in each group.

use crate::model::effect::Reaper;
use crate::model::id::Ktime;
use crate::model::kinds::Span;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The last reaped group.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct LastReaping {
    pub(in crate::store) group: Ix<Group>,
    reaping: Reaping,
}

/// How a group was reaped or autoreaped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaping {
    /// The task that did it.
    pub(crate) reaper: Option<Reaper>,
    /// For how long it was a zombie.
    pub(crate) zombie: Option<Span>,
    /// When its last task died, if a record showed it.
    pub(crate) ended_at: Option<Ktime>,
    /// The time of `reaped` or `autoreaped`.
    pub(crate) at: Option<Ktime>,
}

impl Store {
    /// Stores how a group was reaped.
    pub(crate) fn set_reaping(&mut self, group: Ix<Group>, reaping: Reaping) {
        let former = self.last_reaping.replace(LastReaping { group, reaping });
        if let Some(LastReaping { group: other, reaping }) = former.filter(|former| former.group != group) {
            self.rare(other).reaping = Some(reaping);
        }
    }

    /// Returns how a group was reaped.
    pub(crate) fn reaping_of(&self, group: Ix<Group>) -> Reaping {
        match self.last_reaping.filter(|last| last.group == group) {
            Some(LastReaping { reaping, .. }) => reaping,
            None => self.rare_of(&self.groups[group]).and_then(|rare| rare.reaping).unwrap_or_default(),
        }
    }

    /// Stores when the end of a group was emitted.
    pub(crate) fn set_group_exit(&mut self, group: Ix<Group>, at: Ktime) {
        self.last_group_exit = Some((group, at));
    }

    /// Returns when the last task of a group died, as `group_exited` shows; `None` if that was before the first record.
    pub(crate) fn ended_at(&self, group: Ix<Group>) -> Option<Ktime> {
        let members = &self.groups[group];
        let leader = &self.tasks[members.leader?];
        let is_over = members.has(fact::EXIT_EMITTED) && !members.has(fact::ZOMBIE_OLDER);
        // If the end was emitted for the present record, the group can have become a zombie before that record.
        let just_emitted = self.last_group_exit.filter(|&(of, _)| of == group).map(|(_, at)| at);
        let since = matches!(leader.state, TaskState::Zombie | TaskState::Dead).then_some(leader.since);
        just_emitted.or(since).filter(|_| is_over)
    }
}
