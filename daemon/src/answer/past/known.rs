//! What an answer from the history covers: from which time on, with which gaps, and what could not be read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a reader could not read, and how much it read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Damage {
    /// Damaged places: frames with a wrong checksum, and bytes that are not part of a frame.
    #[serde(rename = "damaged_frames", default, skip_serializing_if = "crate::answer::is_zero")]
    pub frames: u64,
    /// Their bytes.
    #[serde(rename = "damaged_bytes", default, skip_serializing_if = "crate::answer::is_zero")]
    pub bytes: u64,
    /// The least number of lines that were lost there, from intact indexes.
    #[serde(rename = "damaged_lines", default, skip_serializing_if = "crate::answer::is_zero")]
    pub lines: u64,
    /// Bytes at the end of a segment that a daemon still writes, or was writing when it was killed.
    #[serde(rename = "unfinished_bytes", default, skip_serializing_if = "crate::answer::is_zero")]
    pub unfinished: u64,
    /// Segments that were removed before they were read, because the history keeps its limits.
    #[serde(rename = "removed_segments", default, skip_serializing_if = "crate::answer::is_zero")]
    pub removed: u64,
    /// Files with the name of a segment that cannot be opened or read.
    #[serde(rename = "unreadable_segments", default, skip_serializing_if = "crate::answer::is_zero")]
    pub unreadable: u64,
    /// Lines that this version does not understand, because a newer one wrote them.
    #[serde(rename = "unknown_lines", default, skip_serializing_if = "crate::answer::is_zero")]
    pub unknown: u64,
    /// Frames that were read.
    #[serde(skip)]
    pub frames_read: u64,
    /// Frames that were skipped, because their index shows that they have no answer.
    #[serde(skip)]
    pub frames_passed: u64,
}

/// A period that the answer does not fully cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// When it began; absent if only its end is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it ended.
    pub to: String,
    /// Where records were lost: docs/events.md. `not_running`: no daemon wrote history.
    pub place: String,
    /// How many lines or records; absent if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

/// What the history knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// The time since which it is complete, except for the gaps: that of its oldest life. Absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_since: Option<String>,
    /// Gaps since then, or since the time of the query; the latest 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How many older gaps there are.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub more_gaps: u64,
    /// What could not be read.
    #[serde(flatten)]
    pub damage: Damage,
}

impl Damage {
    /// Adds the damage that another part of the reading found.
    pub const fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.unfinished += other.unfinished;
        self.removed += other.removed;
        self.unreadable += other.unreadable;
        self.unknown += other.unknown;
        self.frames_read += other.frames_read;
        self.frames_passed += other.frames_passed;
    }

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
            all.push(format!("bytes of incomplete frames at the end of open segments: {unfinished}"));
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

impl Known {
    /// Returns what the history lacks as sentences.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.more_gaps > 0 {
            all.push(format!("{} older gaps of the history are not listed", self.more_gaps));
        }
        all.extend(self.gaps.iter().map(Gap::sentence));
        all.extend(self.damage.sentences().into_iter().map(|what| format!("history: {what}")));
        all
    }
}

impl Gap {
    fn sentence(&self) -> String {
        let Self { from, to, place, lost } = self;
        let when =
            from.as_ref().map_or_else(|| format!("before {to}"), |from| format!("from {from} to {to}"));
        match (place.as_str(), lost) {
            ("not_running", _) => {
                format!("{when}, no taskscope wrote history: processes that ended then are not known")
            }
            ("history", Some(lost)) => format!("{when}, {lost} lines could not be written to the history"),
            (place, Some(lost)) => format!("{when}, {lost} records were lost ({place})"),
            (place, None) => format!("{when}, records were lost ({place})"),
        }
    }
}
