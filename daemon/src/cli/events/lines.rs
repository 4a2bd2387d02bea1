//! Effects as lines on standard output.

use std::{io, sync::Arc};

use tokio::sync::Notify;

use super::Format;
use crate::{
    answer::life,
    cgroup::{Cgroups, Place},
    cli::output::Output,
    export::{self, EventSelection, Filter, UnknownAction, json::Encoder, schema::Schema},
    lineage::{Action, ActionKind, Lineage, effect::Effect},
    runtime::{EventSink, LossPlace, Wall, replay::ReplaySink},
};

/// Which lines are printed, and how.
pub(in crate::cli) struct LineOptions {
    pub(in crate::cli) selection: EventSelection,
    pub(in crate::cli) format: Format,
    pub(in crate::cli) schema: Schema,
    pub(in crate::cli) colour: bool,
    pub(in crate::cli) limit: Option<u64>,
}

/// The event sink of commands that print events themselves: `events` without a daemon, `record`, `replay`.
pub(in crate::cli) struct Lines {
    pub(in crate::cli) output: Output,
    /// Notified when the limit is reached.
    pub(in crate::cli) full: Arc<Notify>,
    pub(in crate::cli) written: u64,
    /// Events by action, in the order of [`ActionKind::ALL`].
    pub(in crate::cli) by_action: [u64; ActionKind::COUNT],
    wall: Wall,
    cgroups: Cgroups,
    filter: Filter,
    style: Style,
    lives: bool,
    limit: Option<u64>,
    encoder: Encoder,
    buffer: Vec<u8>,
    sequence: u64,
}

/// How lines are formatted.
#[derive(Clone, Copy)]
struct Style {
    format: Format,
    schema: Schema,
    colour: bool,
}

impl Style {
    fn gap(self, place: &'static str, lost: u64) -> Vec<u8> {
        let mut line = Vec::new();
        match self.format {
            Format::Json => {
                self.schema.write(&mut line, |out| export::json::write_gap(place, Some(lost), out));
            }
            Format::Text => export::text::write_gap(place, Some(lost), &mut line),
        }
        line
    }
}

impl Lines {
    /// Starts the writer of standard output. Lines have times of this wall clock and places among these cgroups.
    pub(in crate::cli) fn start(
        options: LineOptions,
        lineage: &Lineage,
        wall: Wall,
        cgroups: Cgroups,
    ) -> io::Result<Self> {
        let wrong = |error: UnknownAction| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        Ok(Self {
            output: Output::start()?,
            full: Arc::new(Notify::new()),
            written: 0,
            by_action: [0; ActionKind::COUNT],
            wall,
            cgroups,
            lives: options.selection.lives,
            filter: options.selection.filter(lineage).map_err(wrong)?,
            style: Style { format: options.format, schema: options.schema, colour: options.colour },
            limit: options.limit,
            encoder: Encoder::default(),
            buffer: Vec::with_capacity(256 << 10),
            sequence: 0,
        })
    }

    pub(in crate::cli) fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.written >= limit)
    }
}

impl EventSink for Lines {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.wall.follow();
        let stamp = self.wall.stamp();
        let mut lines = 0;
        for effect in effects {
            self.sequence += 1;
            let shared = effect.thread.cgroup_id.and_then(|id| self.cgroups.place(id, effect.at.0));
            let place = shared.map(AsRef::as_ref);
            if !self.filter.wants(effect, place) {
                continue;
            }
            if self.limit.is_some_and(|limit| self.written >= limit) {
                break;
            }
            let (schema, sequence) = (self.style.schema, self.sequence);
            match (self.style.format, &effect.action) {
                (_, Action::Released { life: Some(life), .. }) if self.lives => {
                    schema.write(&mut self.buffer, |out| life::write(life, stamp, place, out));
                }
                (Format::Json, _) => {
                    let encoder = &mut self.encoder;
                    schema.write(&mut self.buffer, |out| encoder.write(effect, sequence, stamp, shared, out));
                }
                (Format::Text, _) => export::text::write(effect, stamp, self.style.colour, &mut self.buffer),
            }
            // There is one counter for each kind.
            if let Some(count) = self.by_action.get_mut(effect.action.kind() as usize) {
                *count += 1;
            }
            self.written += 1;
            lines += 1;
        }
        let style = self.style;
        self.output.push(&mut self.buffer, lines, |lost| style.gap("output", lost));
        if self.is_full() {
            self.full.notify_one();
        }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        log::warn!("{count} records lost: {}", place.reason());
        let style = self.style;
        self.output.push(&mut style.gap(place.name(), count), 1, |lost| style.gap("output", lost));
    }
}

impl ReplaySink for Lines {
    fn set_wall(&mut self, offset_ns: i128) {
        self.wall.set_offset(offset_ns);
    }

    fn set_cgroup(&mut self, id: u64, place: &Place) {
        self.cgroups.insert(id, place.clone());
    }

    fn gap(&mut self) {
        let style = self.style;
        let mut line = Vec::new();
        match style.format {
            Format::Json => export::json::write_gap("recording", None, &mut line),
            Format::Text => export::text::write_gap("recording", None, &mut line),
        }
        self.output.push(&mut line, 1, |lost| style.gap("output", lost));
    }
}
