//! The event sink of `record`. It records what a sink finds out itself: the wall clock and the paths of cgroups.

use std::{collections::HashSet, io};

use crate::{
    cgroup::Cgroups,
    cli::events::{
        Format,
        lines::{LineOptions, Lines},
    },
    export::{EventSelection, schema::Schema},
    kernel::clock,
    lineage::{Lineage, effect::Effect, scope::CgroupName},
    recording::{Entry, Journal},
    runtime::{EventSink, LossPlace, Wall, replay::ReplaySink as _},
};

/// Records the wall clock and paths of cgroups, and prints events if asked to.
pub(super) struct RecordSink {
    journal: Journal,
    wall: Wall,
    /// The offset of the wall clock as noted last.
    noted_ns: Option<i128>,
    cgroups: Cgroups,
    noted: HashSet<u64>,
    /// Prints events with the recorded wall clock and places, so that a replay prints the same.
    pub(super) lines: Option<Lines>,
}

impl RecordSink {
    pub(super) fn start(journal: Journal, prints: bool, lineage: &Lineage) -> io::Result<Self> {
        let wall = Wall::of_this_boot();
        let lines = if prints {
            let boot_id = clock::boot_id()?;
            let options = LineOptions {
                selection: EventSelection::default(),
                format: Format::Json,
                schema: Schema::Native,
                colour: false,
                limit: None,
            };
            let recorded = Wall::recorded(&boot_id, wall.offset_ns());
            Some(Lines::start(options, lineage, recorded, Cgroups::at(None))?)
        } else {
            None
        };
        Ok(Self {
            journal,
            wall,
            noted_ns: None,
            cgroups: Cgroups::without_names(),
            noted: HashSet::new(),
            lines,
        })
    }

    fn note_wall(&mut self) {
        self.wall.follow();
        let offset_ns = self.wall.offset_ns();
        if self.noted_ns != Some(offset_ns) {
            self.noted_ns = Some(offset_ns);
            self.journal.note(Entry::Wall(i64::try_from(offset_ns).unwrap_or_default()));
            if let Some(lines) = &mut self.lines {
                lines.set_wall(offset_ns);
            }
        }
    }

    fn note_cgroup(&mut self, id: u64, now_ns: u64) {
        if self.noted.contains(&id) {
            return;
        }
        let Some(place) = self.cgroups.place(id, now_ns) else { return };
        self.noted.insert(id);
        if let Some(lines) = &mut self.lines {
            lines.set_cgroup(id, place);
        }
        self.journal.note(Entry::Cgroup(id, (**place).clone()));
    }
}

impl EventSink for RecordSink {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.note_wall();
        let mut last = None;
        for effect in &*effects {
            let id = effect.thread.cgroup_id;
            if id != last {
                last = id;
                if let Some(id) = id {
                    self.note_cgroup(id, effect.at.0);
                }
            }
        }
        if let Some(lines) = &mut self.lines {
            lines.take(effects);
        }
    }

    fn take_cgroup_names(&mut self, names: &[CgroupName]) {
        for CgroupName { cgroup_id, parent_id, name } in names {
            self.cgroups.learn(*cgroup_id, *parent_id, name);
        }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        self.journal.note(Entry::Lost(place.name().into(), count));
        match &mut self.lines {
            Some(lines) => lines.lost(place, count),
            None => log::warn!("{count} records lost: {}", place.reason()),
        }
    }
}
