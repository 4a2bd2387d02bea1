//! Reads the history: lines of segments that a daemon is writing, has written, or wrote on another host.
//!
//! | file | what |
//! |---|---|
//! | `directory` | the directory: opened for reading only, without a lock |
//! | `extent` | where a frame ends, by its headers |
//! | `segment` | the frames of one segment; skips damaged bytes |
//! | `cursor` | the frames of all segments of a kind, the oldest first, including a segment that grows |
//! | `search` | lives that match a query, the oldest first |
//! | `latest` | the latest lives that match a query |
//! | `gaps` | the time since which the history is complete, and its gaps |
//!
//! A reader holds one frame at a time. Only a directory that cannot be read is an error. Damaged frames, segments that are removed
//! while it reads, and files that are not segments are counted in [`Damage`], and each answer shows them.

mod cursor;
mod directory;
mod extent;
mod gaps;
mod latest;
mod search;
mod segment;
#[cfg(test)]
mod tests;

use std::{fs::File, io};

use crate::answer::known::Damage;

pub(super) use self::segment::{SegmentReader, Step};
pub use self::{
    directory::{ReadDirectory, ReadError},
    gaps::known,
    latest::LatestSearch,
    search::{LifeSearch, Times},
};

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
