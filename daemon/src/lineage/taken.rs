//! Who took a group, from when that is told until the group is released.
//!
//! Nearly always both are told by one record: so the last one is kept in one place, and not in each group.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Reaper, Span};
use super::group::Group;

/// Who took a group, and for how long it was a zombie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) group: Ix<Group>,
    reaper: Option<Reaper>,
    zombie: Option<Span>,
}

impl Lineage {
    pub(super) fn keep_taken(&mut self, group: Ix<Group>, reaper: Option<Reaper>, zombie: Option<Span>) {
        let former = self.taken.replace(Taken { group, reaper, zombie });
        if let Some(Taken { group: other, reaper, zombie }) = former.filter(|former| former.group != group) {
            self.rare(other).taken = Some((reaper, zombie));
        }
    }

    /// Who took a group, and for how long it had been a zombie.
    pub(super) fn taken_of(&self, group: Ix<Group>) -> (Option<Reaper>, Option<Span>) {
        match self.taken.filter(|taken| taken.group == group) {
            Some(Taken { reaper, zombie, .. }) => (reaper, zombie),
            None => self.rare_of(&self.groups[group]).and_then(|rare| rare.taken).unwrap_or_default(),
        }
    }
}
