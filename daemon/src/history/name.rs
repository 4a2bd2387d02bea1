//! Names of segments: the kind of their lines, and the first and last time in them. A query about a time opens only segments that
//! can have an answer.
//!
//! `lives-20261129T023917.123Z-20261129T033917.456Z.ndjson.zst`; a segment that is being written has no second time.

use std::fmt;

/// The kind of the lines of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Records of lives.
    Lives,
    /// Rare events, and gaps.
    Events,
}

impl Kind {
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
    pub kind: Kind,
    /// The last time; `None` while the segment is being written.
    pub to: Option<String>,
}

impl SegmentName {
    /// Parses a file's name; `None` if the file is not a segment.
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
    fn a_moment_is_cut_to_the_millisecond() {
        assert_eq!(moment("2026-11-29T02:39:17.123456789Z").as_deref(), Some("20261129T023917.123Z"));
        assert_eq!(moment("2026-11-29T02:39:17Z").as_deref(), Some("20261129T023917.000Z"));
        assert_eq!(moment("soon"), None);
    }
}
