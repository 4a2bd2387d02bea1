//! The latest lives that a question is about: segments are searched from the latest to the oldest, until there are enough.

use std::{cmp::Reverse, collections::VecDeque, ops::ControlFlow, sync::Arc, time::Duration};

use super::{LifeSearch, ReadDirectory, ReadError, Times};
use crate::{
    answer::{
        known::Damage,
        life::{LifeFilter, LifeRecord},
    },
    history::name::{SegmentKind, SegmentName, moment_at},
};

/// A question for the latest lives, and how far it has been answered.
pub struct LatestSearch {
    directory: Arc<ReadDirectory>,
    times: Times,
    filter: LifeFilter,
    most: usize,
    /// Segments that are still to be searched, the latest last.
    names: Vec<SegmentName>,
    current: Option<LifeSearch>,
    /// The latest lives of the current segment, the oldest first.
    of_segment: VecDeque<LifeRecord>,
    found: Vec<LifeRecord>,
    damage: Damage,
}

impl LatestSearch {
    /// Starts with the latest segment. At most `most` lives are returned.
    pub fn new(
        directory: Arc<ReadDirectory>,
        times: Times,
        filter: LifeFilter,
        most: usize,
    ) -> Result<Self, ReadError> {
        let from = moment_at(times.from_ms);
        let mut names = directory.segments(SegmentKind::Lives)?;
        names.retain(|name| name.to.as_ref().is_none_or(|to| *to >= from));
        Ok(Self {
            directory,
            times,
            filter,
            most,
            names,
            current: None,
            of_segment: VecDeque::new(),
            found: Vec::new(),
            damage: Damage::default(),
        })
    }

    /// Searches for about `budget`. Returns whether it has found enough, or has searched everything.
    pub fn go_on(&mut self, budget: Duration) -> Result<bool, ReadError> {
        let most = self.most.saturating_sub(self.found.len());
        if most == 0 {
            return Ok(true);
        }
        let search = match &mut self.current {
            Some(search) => search,
            none => {
                let Some(name) = self.names.pop() else { return Ok(true) };
                let search = LifeSearch::new(Arc::clone(&self.directory), self.times, self.filter.clone());
                none.insert(search.only(&name))
            }
        };
        let of_segment = &mut self.of_segment;
        let is_searched = search.go_on(budget, &mut |_, life| {
            if of_segment.len() == most {
                of_segment.pop_front();
            }
            of_segment.push_back(life);
            ControlFlow::Continue(())
        })?;
        if is_searched {
            self.found.extend(self.of_segment.drain(..).rev());
            if let Some(search) = self.current.take() {
                self.damage.add(&search.finish());
            }
        }
        Ok(false)
    }

    /// Returns the lives, the latest first, and what could not be read.
    #[must_use]
    pub fn finish(mut self) -> (Vec<LifeRecord>, Damage) {
        // Lines of lives that lacked figures at their release were written later than those of younger ones.
        self.found.sort_by_key(|life| Reverse(life.released_ms()));
        (self.found, self.damage)
    }
}
