//! A frame of the live view, as of a time in a recording.

use std::collections::VecDeque;

use super::figures::{self, Refusals};
use crate::{
    answer::{
        HostFacts, LineageAt,
        death::{DeathFilter, DeathsDraft},
        now::AllFigures,
        place::AnswerPlace,
        tree::{Tree, TreeOptions},
        zombies::{ZombieFilter, ZombiesDraft},
    },
    cgroup::Place,
    cli::{exit::Exit, top},
    export,
    lineage::effect::Effect,
    procfs::Procfs,
    runtime::{
        EventSink, LossPlace, Wall,
        replay::{Replay, ReplaySink},
    },
    view::{Event, Health, Input},
};

/// The most events that are kept; a frame does not show more.
const EVENTS: usize = 500;

/// The most deaths of a frame.
const DEATHS: usize = 200;

/// A sink that keeps the last events.
pub(super) struct FrameSink {
    wall: Wall,
    events: VecDeque<Event>,
    sequence: u64,
    refusals: Refusals,
}

impl FrameSink {
    pub(super) fn new(wall: Wall) -> Self {
        Self { wall, events: VecDeque::new(), sequence: 0, refusals: Refusals::default() }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Prints the frame.
    pub(super) fn print(self, replay: &Replay) -> Result<(), Exit> {
        let lineage_at =
            LineageAt { lineage: &replay.lineage, now: replay.now, observed_since: Some(replay.begun) };
        let stamp = replay.wall.stamp();
        let procfs = Procfs::absent();
        let mut places = |id| replay.cgroups.known(id).map(|place| AnswerPlace::from(&**place));
        let unknown = || Err("a recording does not have what tasks were doing".to_owned());
        let figures = AllFigures::new((unknown(), Err("a recording has no stacks".into())));
        let options = TreeOptions { usage: true, ..TreeOptions::default() };
        let tree =
            Tree::of(options, &lineage_at, stamp, &mut places, Some(&figures)).map_err(Exit::failed)?;
        let zombies = ZombiesDraft::of(&lineage_at, &ZombieFilter::default(), &mut places);
        let deaths = DeathsDraft::of(&lineage_at, DeathFilter { limit: DEATHS, ..DeathFilter::default() });
        let blocked = figures::blocked(replay, 0, &lineage_at, stamp, &mut places);
        let mut host_facts = HostFacts { stamp, procfs: &procfs, places: &mut places };
        let limits = self.refusals.limits(&lineage_at, replay, &mut host_facts);
        let mut view = top::view();
        for input in [
            Input::Health(health(replay)),
            Input::Zombies(zombies.finish(&mut host_facts)),
            Input::Deaths(deaths.finish(&mut host_facts)),
            Input::Limits(limits),
            Input::Tree(tree.into()),
            Input::Blocked(blocked),
            Input::Events(self.events.into()),
        ] {
            view.apply(input);
        }
        top::print_frame(&view)
    }
}

fn health(replay: &Replay) -> Health {
    let lineage = &replay.lineage;
    let unconfirmed = lineage.unconfirmed_count();
    Health {
        observer: format!("taskscope {}, a recording", env!("CARGO_PKG_VERSION")),
        uptime_ns: replay.now.since(replay.begun),
        tasks: lineage.state_counts().present().saturating_sub(unconfirmed) as u64,
        processes: lineage.group_count().saturating_sub(unconfirmed) as u64,
        zombies: lineage.zombie_count() as u64,
        zombies_unconfirmed: unconfirmed as u64,
        lost: replay.counts.lost,
        repaired: 0,
        drift: 0,
        canary_age_ns: None,
        not_ready: None,
        ready_but: None,
        degraded: replay.lacks.clone(),
    }
}

impl EventSink for FrameSink {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        let mut line = Vec::new();
        for effect in &*effects {
            self.refusals.note(effect);
            self.sequence += 1;
            line.clear();
            export::json::write(effect, self.sequence, self.wall.stamp(), None, &mut line);
            if let Some(event) = std::str::from_utf8(&line).ok().and_then(Event::of_line) {
                self.push(event);
            }
        }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        self.push(Event::gap(place.name(), count));
    }
}

impl ReplaySink for FrameSink {
    fn set_wall(&mut self, offset_ns: i128) {
        self.wall.set_offset(offset_ns);
    }

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {
        self.push(Event::gap("recording", 0));
    }
}
