//! A segment that is being written: starts it, appends frames, and closes it.

use std::{
    fs::File,
    io::{self, Write as _},
};

use super::{
    directory::Directory,
    name::{SegmentKind, SegmentName, moment},
    read::{SegmentReader, Step},
};
use crate::{
    answer::known::Damage,
    failpoint::{self, Point},
};

/// A segment that is being written.
pub(super) struct Segment {
    pub(super) name: SegmentName,
    file: File,
    /// The length of its whole frames, bytes.
    pub(super) bytes: u64,
    /// The last time of its lines, as in a name.
    last: String,
}

impl Segment {
    /// Creates a segment whose first line has this time. If a segment of that millisecond exists, the next free millisecond is
    /// used.
    pub(super) fn begin(directory: &Directory, kind: SegmentKind, from: &str) -> io::Result<Self> {
        let mut name = SegmentName { from: from.to_owned(), kind, to: None };
        for _ in 0..1000 {
            match directory.create(&name) {
                Ok(file) => {
                    let last = name.from.clone();
                    return Ok(Self { name, file: File::from(file), bytes: 0, last });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name.from = next(&name.from),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Appends a frame whose last line has this time. If the disk is full, the part that was written is cut off again.
    pub(super) fn add(&mut self, frame: &[u8], last: &str) -> io::Result<()> {
        let written = failpoint::check(Point::HistoryWrite).and_then(|()| self.file.write_all(frame));
        if let Err(error) = written {
            // A part that stays is a torn tail for the next start.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += frame.len() as u64;
        if last > self.last.as_str() {
            last.clone_into(&mut self.last);
        }
        Ok(())
    }

    /// Closes the segment: syncs it to disk, and adds to its name the time of its last line, or `known_until` if that is later. No
    /// line of an earlier time is missing.
    pub(super) fn end(self, directory: &Directory, known_until: Option<String>) -> io::Result<()> {
        self.file.sync_data()?;
        let last = known_until.filter(|until| *until > self.last).unwrap_or(self.last);
        close(directory, &self.name, last)
    }
}

/// Renames a segment to its final name.
fn close(directory: &Directory, name: &SegmentName, mut last: String) -> io::Result<()> {
    for _ in 0..1000 {
        let closed = SegmentName { to: Some(last.clone()), ..name.clone() };
        match directory.rename(name, &closed) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = next(&last),
            other => return other,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns the time one millisecond later, as in a name. It counts the digits up, so a result may not be a valid time of day.
fn next(moment: &str) -> String {
    let Some((seconds, millis)) = moment.trim_end_matches('Z').split_once('.') else {
        return moment.to_owned();
    };
    let millis = millis.parse::<u32>().unwrap_or(0).saturating_add(1) % 1000;
    format!("{seconds}.{millis:03}Z")
}

/// Cuts torn tails off the segments that an earlier daemon left open, and closes them. Returns how many bytes were cut off, and
/// whether there was such a segment.
pub(super) fn close_left_open(directory: &Directory) -> io::Result<(u64, bool)> {
    let (mut cut, mut is_left_open) = (0, false);
    for found in directory.segments()?.into_iter().filter(|found| found.name.to.is_none()) {
        is_left_open = true;
        let file = File::from(directory.edit(&found.name)?);
        let mut reader = SegmentReader::new(file.try_clone()?, true)?;
        let (mut last, mut damage) = (None, Damage::default());
        loop {
            match reader.step(&mut |_| true, &mut damage)? {
                Step::End => break,
                Step::Passed => {}
                Step::Lines => last = last.max(last_moment(reader.text())),
            }
        }
        let torn = reader.unfinished();
        let whole = file.metadata()?.len().saturating_sub(torn);
        if torn > 0 {
            file.set_len(whole)?;
            log::warn!(
                "history: {}: its last {torn} bytes are an incomplete frame, which is cut off",
                found.name
            );
            cut += torn;
        }
        if whole == 0 {
            directory.remove(&found.name)?;
            continue;
        }
        close(directory, &found.name, last.unwrap_or_else(|| found.name.from.clone()))?;
    }
    Ok((cut, is_left_open))
}

/// Returns the latest time of these lines, as in a name.
fn last_moment(lines: &[u8]) -> Option<String> {
    lines.split(|&byte| byte == b'\n').filter_map(moment_of).max()
}

/// Returns the time of a line, as in a name. Each line begins with its time.
pub(super) fn moment_of(line: &[u8]) -> Option<String> {
    let text = line.strip_prefix(br#"{"@timestamp":""#)?;
    let end = text.iter().position(|&byte| byte == b'"')?;
    moment(std::str::from_utf8(text.get(..end)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_line_is_read_and_counted_up() {
        let line = br#"{"@timestamp":"2026-11-29T02:39:17.123456789Z","life_version":1}"#;
        let at = moment_of(line).unwrap();
        assert_eq!(at, "20261129T023917.123Z");
        assert_eq!(next(&at), "20261129T023917.124Z");
        assert_eq!(moment_of(b"{}"), None);
    }
}
