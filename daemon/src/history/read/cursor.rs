//! Reads the frames of all segments of a kind, the oldest first. At the end it can be asked again: it then finds what was written
//! in between.

use std::{io, sync::Arc};

use super::{
    ReadDirectory, ReadError,
    segment::{SegmentReader, Step},
};
use crate::{
    answer::known::Damage,
    history::{
        HELD_MS,
        index::Index,
        name::{SegmentKind, SegmentName, moment_at, ms_of},
    },
};

/// The first time in a name is that of the first frame. A later frame can have an earlier time: records of several CPUs arrive in
/// another order than that of their times, and lives that lack figures are held.
const MARGIN_MS: i64 = HELD_MS;

/// A position in the segments of a kind.
pub(super) struct Cursor {
    directory: Arc<ReadDirectory>,
    kind: SegmentKind,
    /// The times of the lines that are wanted, ms since the epoch.
    from_ms: i64,
    to_ms: i64,
    open: Option<(SegmentName, SegmentReader)>,
    /// The first time of the only segment that is read, if not all are.
    only: Option<String>,
    /// Whether a newer segment than the open one exists, so that the open one is complete.
    is_last_try: bool,
    /// The first time of the segment that was read last.
    done: Option<String>,
    pub(super) damage: Damage,
}

impl Cursor {
    pub(super) fn new(directory: Arc<ReadDirectory>, kind: SegmentKind, from_ms: i64, to_ms: i64) -> Self {
        let damage = Damage::default();
        Self {
            directory,
            kind,
            from_ms,
            to_ms,
            open: None,
            only: None,
            is_last_try: false,
            done: None,
            damage,
        }
    }

    /// Reads this segment alone, as far as it is written now.
    pub(super) fn only(mut self, name: &SegmentName) -> Self {
        self.only = Some(name.from.clone());
        self
    }

    /// Returns the lines of the last frame.
    pub(super) fn text(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |(_, reader)| reader.text())
    }

    /// Reads the next frame.
    pub(super) fn step(&mut self, wants: &dyn Fn(&Index) -> bool) -> Result<Step, ReadError> {
        let (from, to) = (self.from_ms, self.to_ms);
        let mut wants = |index: &Index| index.is_within(from, to) && wants(index);
        if let Some((name, reader)) = &mut self.open {
            match reader.step(&mut wants, &mut self.damage) {
                Ok(Step::End) => {}
                Ok(step) => {
                    self.is_last_try = false;
                    return Ok(step);
                }
                Err(error) => {
                    log::warn!("history: reading {name}: {error}");
                    self.damage.unreadable += 1;
                    self.close();
                }
            }
        }
        if self.only.is_some() && (self.open.is_some() || self.done.is_some()) {
            return Ok(Step::End);
        }
        let names = self.directory.segments(self.kind)?;
        if self.open.is_some() {
            let done = self.open.as_ref().map(|(name, _)| name.from.clone());
            let is_followed = names.iter().any(|name| Some(&name.from) > done.as_ref());
            if !is_followed {
                return Ok(Step::End);
            }
            if !self.is_last_try {
                // Its last frame may have been written after this segment was last read.
                self.is_last_try = true;
                return Ok(Step::Passed);
            }
            self.close();
        }
        self.open_next(&names)
    }

    /// Counts what is unfinished at the end; for an answer that is complete.
    pub(super) fn finish(&mut self) {
        if let Some((_, reader)) = &self.open {
            self.damage.unfinished += reader.unfinished();
        }
    }

    fn close(&mut self) {
        self.finish();
        self.done = self.open.take().map(|(name, _)| name.from);
        self.is_last_try = false;
    }

    fn open_next(&mut self, names: &[SegmentName]) -> Result<Step, ReadError> {
        let (from, to) = (moment_at(self.from_ms), moment_at(self.to_ms.saturating_add(MARGIN_MS)));
        let is_wanted = |name: &&SegmentName| {
            self.only.as_ref().is_none_or(|only| name.from == *only)
                && name.to.as_ref().is_none_or(|last| *last >= from)
                && (name.from <= to || ms_of(&name.from).is_none())
        };
        let mut next = names.iter().filter(|name| self.done.as_ref().is_none_or(|done| name.from > *done));
        let Some(name) = next.find(is_wanted) else { return Ok(Step::End) };
        let (name, file) = match self.directory.segment(name) {
            // It was closed, and so renamed, since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let again = self.directory.segments(self.kind)?;
                let renamed = again.into_iter().find(|new| new.from == name.from);
                match renamed {
                    Some(new) => {
                        let file = self.directory.segment(&new);
                        (new, file)
                    }
                    None => (name.clone(), Err(error)),
                }
            }
            outcome => (name.clone(), outcome),
        };
        match file {
            Ok(file) => {
                let reader = SegmentReader::new(file, name.to.is_none()).map_err(ReadError::Start)?;
                self.open = Some((name, reader));
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    self.damage.removed += 1;
                } else {
                    log::warn!("history: opening {name}: {error}");
                    self.damage.unreadable += 1;
                }
                self.done = Some(name.from);
            }
        }
        Ok(Step::Passed)
    }
}
