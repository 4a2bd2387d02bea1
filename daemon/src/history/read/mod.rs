//! Reads the history: lines of segments that a daemon writes now, wrote before, or wrote on another host.
//!
//! | file | what |
//! |---|---|
//! | `directory` | the directory: opened for reading only, without a lock |
//! | `extent` | where a frame ends, by its headers |
//! | `segment` | the frames of one segment; skips damaged bytes |
//! | `cursor` | the frames of all segments of a kind, the oldest first, also of one that grows |
//! | `search` | lives that a question is about |
//! | `gaps` | since when the history knows all ends, and what it lacks |
//!
//! A reader holds one frame at a time. Nothing that it meets is an error but the directory itself: damaged frames, segments that
//! are removed while it reads, and files that are not segments are counted in [`Damage`], and each answer shows them.

mod cursor;
mod directory;
mod extent;
mod gaps;
mod search;
mod segment;
#[cfg(test)]
mod tests;

use std::{fs::File, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::segment::{SegmentReader, Step};
pub use self::{
    directory::{ReadDirectory, ReadError},
    gaps::{Gap, Known},
    search::{LifeSearch, Times},
};

/// What a reader could not read, and how much it read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Damage {
    /// Damaged places: frames with a wrong checksum, and bytes that are no frame.
    #[serde(rename = "damaged_frames", default, skip_serializing_if = "is_zero")]
    pub frames: u64,
    /// Their bytes.
    #[serde(rename = "damaged_bytes", default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Lines that they had at least: an index that is whole says it.
    #[serde(rename = "damaged_lines", default, skip_serializing_if = "is_zero")]
    pub lines: u64,
    /// Bytes at the end of a segment that a daemon still writes, or was writing when it was killed.
    #[serde(rename = "unfinished_bytes", default, skip_serializing_if = "is_zero")]
    pub unfinished: u64,
    /// Segments that were removed before they were read, because the history keeps its limits.
    #[serde(rename = "removed_segments", default, skip_serializing_if = "is_zero")]
    pub removed: u64,
    /// Files with the name of a segment that cannot be opened or read.
    #[serde(rename = "unreadable_segments", default, skip_serializing_if = "is_zero")]
    pub unreadable: u64,
    /// Lines that this version does not understand, because a newer one wrote them.
    #[serde(rename = "unknown_lines", default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
    /// Frames that were read.
    #[serde(skip)]
    pub frames_read: u64,
    /// Frames that were passed, because their index shows that they have no answer.
    #[serde(skip)]
    pub frames_passed: u64,
}

/// Passes every line of a file to `each` as one segment's: its whole frames, and what is damaged. For files outside of a directory, and
/// for the fuzz target.
pub fn lines_of(file: File, is_open: bool, each: &mut dyn FnMut(&[u8])) -> io::Result<Damage> {
    let (mut reader, mut damage) = (SegmentReader::new(file, is_open)?, Damage::default());
    loop {
        match reader.step(&mut |_| true, &mut damage)? {
            Step::End => break,
            Step::Passed => {}
            Step::Lines => reader.text().split_inclusive(|&byte| byte == b'\n').for_each(&mut *each),
        }
    }
    damage.unfinished += reader.unfinished();
    Ok(damage)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Damage {
    /// Whether something could not be read.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.frames + self.unfinished + self.removed + self.unreadable + self.unknown > 0
    }

    /// Returns what could not be read, as sentences.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let Self { frames, bytes, lines, unfinished, removed, unreadable, unknown, .. } = *self;
        let mut all = Vec::new();
        if frames > 0 {
            let at_least = if lines > 0 { format!(", with at least {lines} lines") } else { String::new() };
            all.push(format!("damaged places that were skipped: {frames} ({bytes} bytes{at_least})"));
        }
        if unfinished > 0 {
            all.push(format!("bytes at the end of open segments that are not written whole: {unfinished}"));
        }
        if removed > 0 {
            all.push(format!("segments that were removed while they were read: {removed}"));
        }
        if unreadable > 0 {
            all.push(format!("segments that cannot be read: {unreadable}"));
        }
        if unknown > 0 {
            all.push(format!("lines that this version does not understand: {unknown}"));
        }
        all
    }
}
