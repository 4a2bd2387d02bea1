//! Names of segments: the kind of lines, and between which moments of the wall clock they lie. So a question about a time opens only
//! the segments that can have an answer.
//!
//! `lives-20261129T023917.123Z-20261129T033917.456Z.ndjson.zst`; without the second moment while it is written.

use std::fmt;

/// What the lines of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Records of lives.
    Lives,
    /// Rare events, and gaps.
    Events,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lives, Self::Events];

    /// How its files begin.
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

/// A segment's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The first moment, as in the name: its order is the order of time.
    pub from: String,
    /// What its lines are.
    pub kind: Kind,
    /// The last moment; `None` while it is written.
    pub to: Option<String>,
}

impl SegmentName {
    /// Reads a file's name; `None` for a file that is no segment.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let rest = file.strip_suffix(SUFFIX)?;
        let (kind, rest) = rest.split_once('-')?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
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

/// A moment of RFC 3339 such as `2026-11-29T02:39:17.123456Z` as it stands in a name, to the millisecond: `20261129T023917.123Z`.
pub(super) fn moment(rfc3339: &str) -> Option<String> {
    let (date, time) = rfc3339.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "000"));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let text = format!("{}T{}.{millis}Z", digits(date), digits(time));
    is_moment(&text).then_some(text)
}

/// Whether a text is a moment as [`moment`] writes it.
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
    fn a_moment_is_cut_to_the_millisecond() {
        assert_eq!(moment("2026-11-29T02:39:17.123456789Z").as_deref(), Some("20261129T023917.123Z"));
        assert_eq!(moment("2026-11-29T02:39:17Z").as_deref(), Some("20261129T023917.000Z"));
        assert_eq!(moment("soon"), None);
    }
}
