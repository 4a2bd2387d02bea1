//! Who reaped a group, from when a record shows that until the group is released.
//!
//! Nearly always one record shows both, so the last reaping is kept in one place and not in each group.

use crate::model::effect::Reaper;
use crate::model::kinds::Span;
use crate::store::Store;
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

/// Who reaped a group, and for how long it was a zombie.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Reaping {
    pub(in crate::store) group: Ix<Group>,
    reaper: Option<Reaper>,
    zombie: Option<Span>,
}

impl Store {
    /// Remembers who reaped a group, and for how long it had been a zombie.
    pub(crate) fn set_reaping(&mut self, group: Ix<Group>, reaper: Option<Reaper>, zombie: Option<Span>) {
        let former = self.last_reaping.replace(Reaping { group, reaper, zombie });
        if let Some(Reaping { group: other, reaper, zombie }) = former.filter(|former| former.group != group)
        {
            self.rare(other).reaping = Some((reaper, zombie));
        }
    }

    /// Who reaped a group, and for how long it had been a zombie.
    pub(crate) fn reaping_of(&self, group: Ix<Group>) -> (Option<Reaper>, Option<Span>) {
        match self.last_reaping.filter(|reaping| reaping.group == group) {
            Some(Reaping { reaper, zombie, .. }) => (reaper, zombie),
            None => self.rare_of(&self.groups[group]).and_then(|rare| rare.reaping).unwrap_or_default(),
        }
    }
}
