//! Names of segments: the kind of their lines, and the first and last time in them. A query about a time opens only segments that
//! can have an answer.
//!
//! `lives-20261129T023917.123Z-20261129T033917.456Z.ndjson.zst`; a segment that is being written has no second time.

use std::fmt;

use crate::{answer::time_arg, export::Stamp, lineage::id::Ktime};

/// The kind of the lines of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// Records of lives.
    Lives,
    /// Rare events, and gaps.
    Events,
}

impl SegmentKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Lives, Self::Events];

    /// Returns how names of its files begin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lives => "lives",
            Self::Events => "events",
        }
    }
}

/// The end of every name.
const SUFFIX: &str = ".ndjson.zst";

/// The parts of a segment's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The first time, as in the name. Names sort by it.
    pub from: String,
    /// The kind of its lines.
    pub kind: SegmentKind,
    /// The last time; `None` while the segment is being written.
    pub to: Option<String>,
}

impl SegmentName {
    /// Parses a file's name; `None` if the file is not a segment.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let rest = file.strip_suffix(SUFFIX)?;
        let (kind, rest) = rest.split_once('-')?;
        let kind = SegmentKind::ALL.into_iter().find(|known| known.name() == kind)?;
        let (from, to) = rest.split_once('-').map_or((rest, None), |(from, to)| (from, Some(to)));
        (is_moment(from) && to.is_none_or(is_moment)).then(|| Self {
            from: from.to_owned(),
            kind,
            to: to.map(str::to_owned),
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.name(), self.from)?;
        if let Some(to) = &self.to {
            write!(f, "-{to}")?;
        }
        f.write_str(SUFFIX)
    }
}

/// Converts a time of RFC 3339, such as `2026-11-29T02:39:17.123456Z`, to the form in names, in milliseconds:
/// `20261129T023917.123Z`.
pub(super) fn moment(rfc3339: &str) -> Option<String> {
    let (date, time) = rfc3339.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "000"));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let text = format!("{}T{}.{millis}Z", digits(date), digits(time));
    is_moment(&text).then_some(text)
}

/// Returns a time of the wall clock, ms since the epoch, as in a name.
pub(super) fn moment_at(ms: i64) -> String {
    // RFC 3339 has years of four digits.
    let ms = ms.clamp(0, 253_402_300_799_999);
    moment(&Stamp::new("", i128::from(ms) * 1_000_000).timestamp(Ktime(0))).unwrap_or_default()
}

/// Returns a time of a name as RFC 3339.
pub(super) fn rfc3339_of(moment: &str) -> Option<String> {
    let part = |range| is_moment(moment).then(|| moment.get(range)).flatten();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, rest) = (part(9..11)?, part(11..13)?, part(13..20)?);
    Some(format!("{year}-{month}-{day}T{hour}:{minute}:{rest}"))
}

/// Returns a time of a name as ms since the epoch; `None` if the calendar has no such time.
pub(super) fn ms_of(moment: &str) -> Option<i64> {
    i64::try_from(time_arg::wall_ns(&rfc3339_of(moment)?)? / 1_000_000).ok()
}

/// Whether a text is a time as [`moment`] writes it.
fn is_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 20
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'.',
            19 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_other_files_are_no_segments() {
        for file in [
            "lives-20261129T023917.123Z.ndjson.zst",
            "events-20261129T023917.123Z-20261129T033917.456Z.ndjson.zst",
        ] {
            assert_eq!(SegmentName::parse(file).unwrap().to_string(), file);
        }
        for file in [
            "",
            "lives",
            "lives-x.ndjson.zst",
            "notes-20261129T023917.123Z.ndjson.zst",
            "lives-20261129T023917.123Z.ndjson",
        ] {
            assert_eq!(SegmentName::parse(file), None, "{file}");
        }
    }

    #[test]
    fn a_time_of_a_name_is_the_same_as_ms_and_as_rfc_3339() {
        let text = "20261129T023917.123Z";
        assert_eq!(rfc3339_of(text).as_deref(), Some("2026-11-29T02:39:17.123Z"));
        let ms = ms_of(text).unwrap();
        assert_eq!(moment_at(ms), text);
        assert_eq!(moment_at(i64::MIN), "19700101T000000.000Z");
        assert_eq!(moment_at(i64::MAX), "99991231T235959.999Z");
        assert_eq!((ms_of("20261399T023917.123Z"), rfc3339_of("x")), (None, None));
    }

    #[test]
    fn a_moment_is_cut_to_the_millisecond() {
        assert_eq!(moment("2026-11-29T02:39:17.123456789Z").as_deref(), Some("20261129T023917.123Z"));
        assert_eq!(moment("2026-11-29T02:39:17Z").as_deref(), Some("20261129T023917.000Z"));
        assert_eq!(moment("soon"), None);
    }
}
