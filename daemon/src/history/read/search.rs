//! Lives of the history that a question is about.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use memchr::memmem::Finder;

use super::{ReadDirectory, ReadError, cursor::Cursor, segment::Step};
use crate::{
    answer::{
        known::Damage,
        life::{LifeFilter, LifeRecord, VERSION},
    },
    history::{
        index::{Field, Index, key, pid_key},
        name::{SegmentKind, SegmentName, moment_at, rfc3339_of},
    },
};

/// The times of the lines that a question is about: when processes were released, ms since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The first time.
    pub from_ms: i64,
    /// The last time.
    pub to_ms: i64,
}

impl Times {
    /// All times.
    pub const ALL: Self = Self { from_ms: i64::MIN, to_ms: i64::MAX };

    /// The times of release of processes that ended up to a time. The kernel releases a task after an RCU grace period; one that
    /// stayed a zombie for more than a minute is left out.
    #[must_use]
    pub const fn released_after_end(ended_by_ms: i64) -> Self {
        Self { from_ms: i64::MIN, to_ms: ended_by_ms.saturating_add(60_000) }
    }

    /// Everything from a time on.
    #[must_use]
    pub const fn since(from_ms: i64) -> Self {
        Self { from_ms, to_ms: i64::MAX }
    }
}

/// A condition with alternatives, of which a line must have one: as keys in the index of a frame, and as texts in a line.
struct Condition {
    keys: Vec<u64>,
    texts: Vec<Finder<'static>>,
}

/// A query of lives, and its position.
pub struct LifeSearch {
    cursor: Cursor,
    times: Times,
    filter: LifeFilter,
    conditions: Vec<Condition>,
    /// Texts that a line of a process has if it exited with code 0; used if the query excludes these.
    plain: Option<[Finder<'static>; 2]>,
    /// How the start of a process is written, and the time at which it must have existed.
    start: Option<(Finder<'static>, String)>,
}

/// Whether a text is in a line without escapes, and is not a pattern.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:/ ".contains(&byte))
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text).into_owned()
}

impl Condition {
    /// Returns the condition that a field has one of these values; `None` if one of them is a pattern.
    fn of(field: Field, name: &str, values: &[String]) -> Option<Self> {
        (!values.is_empty() && values.iter().all(|value| is_plain(value))).then(|| Self {
            keys: values.iter().map(|value| key(field, value.as_bytes())).collect(),
            texts: values.iter().map(|value| finder(&format!("\"{name}\":\"{value}\""))).collect(),
        })
    }

    fn all(filter: &LifeFilter) -> Vec<Self> {
        let pids = (!filter.pids.is_empty()).then(|| Self {
            keys: filter.pids.iter().map(|&pid| pid_key(pid)).collect(),
            texts: filter.pids.iter().map(|pid| finder(&format!("\"process\":{{\"pid\":{pid},"))).collect(),
        });
        let failed = filter.failed.then(|| Self { keys: vec![key(Field::Failed, &[])], texts: Vec::new() });
        [
            pids,
            failed,
            Self::of(Field::Comm, "name", &filter.comms),
            Self::of(Field::Unit, "unit", &filter.units),
            Self::of(Field::Cause, "cause", &filter.causes),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn may_be_in(&self, index: &Index) -> bool {
        self.keys.iter().any(|&key| index.may_have(key))
    }

    fn may_be_of(&self, line: &[u8]) -> bool {
        self.texts.is_empty() || self.texts.iter().any(|text| text.find(line).is_some())
    }
}

impl LifeSearch {
    /// Starts at the oldest segment that can have an answer.
    #[must_use]
    pub fn new(directory: Arc<ReadDirectory>, times: Times, filter: LifeFilter) -> Self {
        let cursor = Cursor::new(directory, SegmentKind::Lives, times.from_ms, times.to_ms);
        let at = filter.at_ms.and_then(|at| rfc3339_of(&moment_at(at)));
        let start = at.map(|at| (finder("\"start_timestamp\":\""), at));
        let plain = filter
            .failed
            .then(|| [finder("\"exit\":{\"status\":0,"), finder("\"death\":{\"cause\":\"exited\",")]);
        Self { cursor, times, conditions: Condition::all(&filter), filter, plain, start }
    }

    /// Searches this segment alone, as far as it is written now.
    pub(super) fn only(mut self, name: &SegmentName) -> Self {
        self.cursor = self.cursor.only(name);
        self
    }

    /// Continues the search for about `budget`, or until `each` breaks; `each` gets every matching life as a line and as a record.
    /// Returns whether everything that is on disk now was searched. A later call continues with lines that were written since.
    pub fn go_on(
        &mut self,
        budget: Duration,
        each: &mut dyn FnMut(&[u8], LifeRecord) -> ControlFlow<()>,
    ) -> Result<bool, ReadError> {
        let end = Instant::now() + budget;
        loop {
            let conditions = &self.conditions;
            let at_ms = self.filter.at_ms;
            let wants = |index: &Index| {
                at_ms.is_none_or(|at| index.oldest_ms <= at)
                    && conditions.iter().all(|condition| condition.may_be_in(index))
            };
            match self.cursor.step(&wants)? {
                Step::End => return Ok(true),
                Step::Passed => {}
                Step::Lines => {
                    if self.lines(each).is_break() {
                        return Ok(false);
                    }
                }
            }
            if Instant::now() >= end {
                return Ok(false);
            }
        }
    }

    fn lines(&mut self, each: &mut dyn FnMut(&[u8], LifeRecord) -> ControlFlow<()>) -> ControlFlow<()> {
        let (mut unknown, mut flow) = (0, ControlFlow::Continue(()));
        for line in self.cursor.text().split_inclusive(|&byte| byte == b'\n') {
            let is_plain = |texts: &[Finder<'static>; 2]| texts.iter().all(|text| text.find(line).is_some());
            if self.plain.as_ref().is_some_and(is_plain)
                || self.is_too_young(line)
                || !self.conditions.iter().all(|condition| condition.may_be_of(line))
            {
                continue;
            }
            let record = match serde_json::from_slice::<LifeRecord>(line) {
                Ok(record) if record.life_version <= VERSION => record,
                _ => {
                    unknown += 1;
                    continue;
                }
            };
            let is_in_time =
                record.released_ms().is_some_and(|at| self.times.from_ms <= at && at <= self.times.to_ms);
            if is_in_time && self.filter.wants(&record) {
                flow = each(line, record);
                if flow.is_break() {
                    // The rest of this frame is not needed: if `each` breaks, the question is answered.
                    break;
                }
            }
        }
        self.cursor.damage.unknown += unknown;
        flow
    }

    /// Whether the process of a line was created after the time at which it should have existed. Times of one format are in the
    /// order of their texts.
    fn is_too_young(&self, line: &[u8]) -> bool {
        let Some((finder, at)) = &self.start else { return false };
        let start = finder.find(line).map(|found| found + finder.needle().len());
        start.and_then(|from| line.get(from..from + at.len())).is_some_and(|start| start > at.as_bytes())
    }

    /// Ends the question: returns what could not be read.
    #[must_use]
    pub fn finish(mut self) -> Damage {
        self.cursor.finish();
        self.cursor.damage
    }

    /// Returns what could not be read so far.
    #[must_use]
    pub fn damage(&self) -> &Damage {
        &self.cursor.damage
    }
}
