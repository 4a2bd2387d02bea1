//! What a replay gathers for `limits` and `blocked`, and these answers.

use std::{collections::HashMap, sync::Arc};

use crate::{
    answer::{
        HostFacts, LineageAt,
        blocked::{BlockedFilter, BlockedTasks, FirstPoll},
        limits::{Limits, LimitsDraft, Refusal},
        now::AllFigures,
        place::AnswerPlace,
    },
    cgroup::Place,
    export::Stamp,
    lineage::{Action, effect::Effect},
    runtime::{
        EventSink, LossPlace,
        replay::{Replay, ReplaySink},
    },
};

/// The most limits that are remembered.
const MOST: usize = 1000;

/// A sink that remembers the limits that refused a fork.
#[derive(Default)]
pub(super) struct Refusals {
    by_limit: HashMap<(&'static str, String), Refusal>,
}

impl Refusals {
    /// Notes the limit that refused the fork of an effect.
    pub(super) fn note(&mut self, effect: &Effect) {
        let Action::CloneFailed { refused_by: Some(limit), .. } = &effect.action else { return };
        let key = (limit.kind.code(), limit.name.clone());
        if self.by_limit.len() >= MOST && !self.by_limit.contains_key(&key) {
            return;
        }
        let refusal =
            self.by_limit.entry(key).or_insert_with(|| Refusal { limit: Arc::clone(limit), times: 0 });
        refusal.limit = Arc::clone(limit);
        refusal.times += 1;
    }

    /// Returns the limits that refused a fork, with the processes that count against them.
    pub(super) fn limits(
        &self,
        lineage_at: &LineageAt<'_>,
        replay: &Replay,
        host_facts: &mut HostFacts<'_>,
    ) -> Limits {
        let mut refusals: Vec<Refusal> = self.by_limit.values().cloned().collect();
        refusals.sort_by(|one, other| one.limit.name.cmp(&other.limit.name));
        let draft = LimitsDraft::of(lineage_at).with_leaks(replay.leaks.flagged());
        draft.of_recording(&refusals, host_facts)
    }
}

impl EventSink for Refusals {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        for effect in effects.iter() {
            self.note(effect);
        }
    }

    fn lost(&mut self, _: LossPlace, _: u64) {}
}

impl ReplaySink for Refusals {
    fn set_wall(&mut self, _: i128) {}

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {}
}

/// Returns the tasks that the last two polls found in the same uninterruptible sleep.
pub(super) fn blocked(
    replay: &Replay,
    min_age_ns: u64,
    lineage_at: &LineageAt<'_>,
    stamp: &Stamp,
    places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
) -> BlockedTasks {
    let Some((_, asleep)) = &replay.polls.last else {
        let why = "the recording has no poll of sleeping tasks up to this time".to_owned();
        return BlockedTasks::unknown(lineage_at, stamp, why);
    };
    // A task whose kernel stack was recorded was asleep for long.
    let stacks = replay.polls.stacks.clone();
    let before = FirstPoll::of(&replay.polls.before);
    let figures = AllFigures::new((Ok(asleep.clone()), Ok(stacks)));
    let age = |task| replay.blocked.age_ns(task);
    BlockedTasks::of(&before, &figures, BlockedFilter { min_age_ns }, &age, lineage_at, stamp, places)
}
