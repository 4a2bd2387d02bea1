//! How a group was reaped, from when a record shows that until the group is released.
//!
//! Nearly always one record shows both, so the last reaping is kept in one place and not in each group.

use crate::model::effect::Reaper;
use crate::model::id::Ktime;
use crate::model::kinds::Span;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The last group of which it was reported.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct LastReaping {
    pub(in crate::store) group: Ix<Group>,
    reaping: Reaping,
}

/// How a group was reaped, or went by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaping {
    /// The task that did it.
    pub(crate) reaper: Option<Reaper>,
    /// For how long it was a zombie.
    pub(crate) zombie: Option<Span>,
    /// When its last task died, where that was seen.
    pub(crate) ended_at: Option<Ktime>,
    /// When `reaped` or `autoreaped` was emitted.
    pub(crate) at: Option<Ktime>,
}

impl Store {
    /// Remembers how a group was reaped.
    pub(crate) fn set_reaping(&mut self, group: Ix<Group>, reaping: Reaping) {
        let former = self.last_reaping.replace(LastReaping { group, reaping });
        if let Some(LastReaping { group: other, reaping }) = former.filter(|former| former.group != group) {
            self.rare(other).reaping = Some(reaping);
        }
    }

    /// How a group was reaped.
    pub(crate) fn reaping_of(&self, group: Ix<Group>) -> Reaping {
        match self.last_reaping.filter(|last| last.group == group) {
            Some(LastReaping { reaping, .. }) => reaping,
            None => self.rare_of(&self.groups[group]).and_then(|rare| rare.reaping).unwrap_or_default(),
        }
    }

    /// Remembers when the end of a group was emitted.
    pub(crate) fn set_group_exit(&mut self, group: Ix<Group>, at: Ktime) {
        self.last_group_exit = Some((group, at));
    }

    /// When the last task of a group died, as `group_exited` says; `None` where that was before anyone looked.
    pub(crate) fn ended_at(&self, group: Ix<Group>) -> Option<Ktime> {
        let members = &self.groups[group];
        let leader = &self.tasks[members.leader?];
        let is_over = members.has(fact::EXIT_EMITTED) && !members.has(fact::ZOMBIE_OLDER);
        // Emitted for the record that is applied now, it can have become a zombie before.
        let just_emitted = self.last_group_exit.filter(|&(of, _)| of == group).map(|(_, at)| at);
        let since = matches!(leader.state, TaskState::Zombie | TaskState::Dead).then_some(leader.since);
        just_emitted.or(since).filter(|_| is_over)
    }
}
