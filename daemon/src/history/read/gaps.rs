//! Finds from which time on the history has all ends, and what is missing since then.

use std::{collections::VecDeque, sync::Arc};

use serde::Deserialize;

use super::{ReadDirectory, ReadError, cursor::Cursor, segment::Step};
use crate::{
    answer::{
        known::{Gap, Known},
        time_arg,
    },
    history::{
        index::{Field, key},
        name::{SegmentKind, rfc3339_of},
    },
};

/// The most gaps in an answer, the latest.
const MOST: usize = 16;

#[derive(Deserialize)]
struct GapLine {
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

/// Reads what the history knows: the names of segments, and the gap lines from a time on, ms since the epoch.
pub fn known(directory: &Arc<ReadDirectory>, from_ms: i64) -> Result<Known, ReadError> {
    let oldest = directory.segments(SegmentKind::Lives)?.into_iter().next();
    let known_since = oldest.and_then(|name| rfc3339_of(&name.from));
    let known_ms = known_since.as_deref().and_then(time_arg::wall_ns);
    let from_ms = known_ms.and_then(|ns| i64::try_from(ns / 1_000_000).ok()).unwrap_or(from_ms).max(from_ms);
    let mut cursor = Cursor::new(Arc::clone(directory), SegmentKind::Events, from_ms, i64::MAX);
    let gap = key(Field::Action, b"gap");
    let (mut gaps, mut more_gaps) = (VecDeque::new(), 0);
    loop {
        match cursor.step(&|index| index.may_have(gap))? {
            Step::End => break,
            Step::Passed => {}
            Step::Lines => {
                for line in cursor.text().split(|&byte| byte == b'\n') {
                    // Only a gap line parses.
                    let Ok(GapLine { timestamp, gap }) = serde_json::from_slice(line) else { continue };
                    if time_arg::wall_ns(&timestamp).is_none_or(|at| at < i128::from(from_ms) * 1_000_000) {
                        continue;
                    }
                    gaps.push_back(Gap { from: gap.since, to: timestamp, place: gap.place, lost: gap.lost });
                    if gaps.len() > MOST {
                        gaps.pop_front();
                        more_gaps += 1;
                    }
                }
            }
        }
    }
    cursor.finish();
    Ok(Known { known_since, gaps: gaps.into(), more_gaps, damage: cursor.damage })
}
