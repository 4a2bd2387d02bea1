//! Since when the history knows all ends, and what it lacks since then.

use std::{collections::VecDeque, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Damage, ReadDirectory, ReadError, cursor::Cursor, segment::Step};
use crate::{
    answer::time_arg,
    history::{
        index::{Field, key},
        name::{Kind, rfc3339_of},
    },
};

/// The most gaps in an answer, the latest.
const MOST: usize = 16;

/// A part of the time of which not all is known.
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
    /// Since when it has all ends, besides the gaps: the time of its oldest life. Absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_since: Option<String>,
    /// What it lacks since then, or since the time of the question; the latest 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How many older gaps there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_gaps: u64,
    /// What could not be read.
    #[serde(flatten)]
    pub damage: Damage,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    gap: LineGap,
}

#[derive(Deserialize)]
struct LineGap {
    place: String,
    #[serde(default)]
    lost: Option<u64>,
    #[serde(default)]
    since: Option<String>,
}

impl Known {
    /// Reads it: the names of segments, and the gap lines from a time on.
    pub fn of(directory: &Arc<ReadDirectory>, from_ms: i64) -> Result<Self, ReadError> {
        let oldest = directory.segments(Kind::Lives)?.into_iter().next();
        let known_since = oldest.and_then(|name| rfc3339_of(&name.from));
        let known_ms = known_since.as_deref().and_then(time_arg::wall_ns);
        let from_ms =
            known_ms.and_then(|ns| i64::try_from(ns / 1_000_000).ok()).unwrap_or(from_ms).max(from_ms);
        let mut cursor = Cursor::new(Arc::clone(directory), Kind::Events, from_ms, i64::MAX);
        let gap = key(Field::Action, b"gap");
        let (mut gaps, mut more_gaps) = (VecDeque::new(), 0);
        loop {
            match cursor.step(&|index| index.may_have(gap))? {
                Step::End => break,
                Step::Passed => {}
                Step::Lines => {
                    for line in cursor.text().split(|&byte| byte == b'\n') {
                        // Only a gap line parses.
                        let Ok(Line { timestamp, gap }) = serde_json::from_slice(line) else { continue };
                        if time_arg::wall_ns(&timestamp).is_none_or(|at| at < i128::from(from_ms) * 1_000_000)
                        {
                            continue;
                        }
                        gaps.push_back(Gap {
                            from: gap.since,
                            to: timestamp,
                            place: gap.place,
                            lost: gap.lost,
                        });
                        if gaps.len() > MOST {
                            gaps.pop_front();
                            more_gaps += 1;
                        }
                    }
                }
            }
        }
        cursor.finish();
        Ok(Self { known_since, gaps: gaps.into(), more_gaps, damage: cursor.damage })
    }

    /// Returns it as sentences.
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
            ("not_running", _) => format!("{when}, no taskscope wrote history: what ended then is not known"),
            ("history", Some(lost)) => format!("{when}, {lost} lines could not be written to the history"),
            (place, Some(lost)) => format!("{when}, {lost} records were lost ({place})"),
            (place, None) => format!("{when}, records were lost ({place})"),
        }
    }
}
