//! Reads one segment, frame by frame, in bounded memory. Damaged bytes are skipped and counted, up to the next whole frame.

use std::{fs::File, io};

use zstd::bulk::Decompressor;

use super::extent::{Extent, FRAME_MAX, MAGIC, SKIPPABLE, extent, read_at};
use crate::{answer::known::Damage, history::index::Index};

/// Bytes that are searched at once for the next frame.
const CHUNK: usize = 256 << 10;

/// An index is small; a longer one is not from taskscope.
const INDEX_MAX: u64 = 2 << 20;

/// What one step has found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::history) enum Step {
    /// The lines of a frame are in [`SegmentReader::text`].
    Lines,
    /// A frame was passed.
    Passed,
    /// The segment has no more frames now.
    End,
}

/// A segment that is being read.
pub(in crate::history) struct SegmentReader {
    file: File,
    at: u64,
    /// Whether the segment is still being written, or was when its daemon was killed: its end need not be whole.
    is_open: bool,
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// Bytes of an incomplete frame at the end of an open segment.
    unfinished: u64,
}

impl SegmentReader {
    pub(in crate::history) fn new(file: File, is_open: bool) -> io::Result<Self> {
        let decompressor = Decompressor::new()?;
        Ok(Self { file, at: 0, is_open, decompressor, raw: Vec::new(), text: Vec::new(), unfinished: 0 })
    }

    /// Returns the lines of the last frame.
    pub(in crate::history) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the number of bytes of an incomplete frame at the end of an open segment.
    pub(in crate::history) const fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Reads the next frame. `wants` returns whether a frame with this index is read.
    pub(in crate::history) fn step(
        &mut self,
        wants: &mut dyn FnMut(&Index) -> bool,
        damage: &mut Damage,
    ) -> io::Result<Step> {
        self.unfinished = 0;
        let length = self.file.metadata()?.len();
        match extent(&self.file, self.at, length)? {
            Extent::End => Ok(Step::End),
            // The length of a damaged index may be wrong.
            Extent::Skippable { length: bytes } => {
                if self.is_damaged_index(self.at, length)? {
                    return self.recover(length, damage);
                }
                self.at += bytes;
                Ok(Step::Passed)
            }
            Extent::Data { length: bytes, content } => {
                let index = self.index_at(self.at + bytes, length)?;
                if index.as_ref().is_some_and(|(index, _)| !wants(index)) {
                    self.at += bytes + index.map_or(0, |(_, bytes)| bytes);
                    damage.frames_passed += 1;
                    return Ok(Step::Passed);
                }
                if self.content(self.at, bytes, content)? {
                    self.at += bytes + index.map_or(0, |(_, bytes)| bytes);
                    damage.frames_read += 1;
                    return Ok(Step::Lines);
                }
                damage.lines += index.map_or(0, |(index, _)| u64::from(index.lines));
                self.recover(length, damage)
            }
            Extent::Short | Extent::Foreign => self.recover(length, damage),
        }
    }

    /// Returns the index at a position and its length, if there is one.
    fn index_at(&mut self, at: u64, file_length: u64) -> io::Result<Option<(Index, u64)>> {
        let Extent::Skippable { length } = extent(&self.file, at, file_length)? else { return Ok(None) };
        if length > INDEX_MAX {
            return Ok(None);
        }
        self.raw.resize(usize::try_from(length).unwrap_or(0), 0);
        let count = read_at(&self.file, &mut self.raw, at)?;
        Ok(self.raw.get(..count).and_then(Index::parse).map(|index| (index, length)))
    }

    /// Whether a skippable frame is an index of ours that is damaged. Other programs' skippable frames are passed.
    fn is_damaged_index(&mut self, at: u64, file_length: u64) -> io::Result<bool> {
        let mut head = [0; 12];
        let count = read_at(&self.file, &mut head, at)?;
        let is_ours = Index::is_ours(head.get(..count).unwrap_or_default());
        Ok(is_ours && self.index_at(at, file_length)?.is_none())
    }

    /// Reads and decompresses a frame; `false` if it is damaged.
    fn content(&mut self, at: u64, bytes: u64, content: u64) -> io::Result<bool> {
        debug_assert!(bytes <= FRAME_MAX && content <= FRAME_MAX, "extent() has checked both");
        self.raw.resize(usize::try_from(bytes).unwrap_or(0), 0);
        let count = read_at(&self.file, &mut self.raw, at)?;
        self.text.clear();
        let content = usize::try_from(content).unwrap_or(0);
        // A content of 4 GiB may be claimed by 20 bytes: zstd's own limit is 128 KiB for each block of at least 4 bytes.
        if content > self.raw.len().saturating_mul(128 << 10) {
            return Ok(false);
        }
        self.text.reserve_exact(content);
        let frame = self.raw.get(..count).unwrap_or_default();
        Ok(self.decompressor.decompress_to_buffer(frame, &mut self.text).is_ok_and(|size| size == content))
    }

    /// Goes to the next whole frame after a position where there is none, and counts what is between. The end of an open segment
    /// is not counted as damaged.
    fn recover(&mut self, length: u64, damage: &mut Damage) -> io::Result<Step> {
        let bad = self.at;
        let mut search = bad + 1;
        while let Some(candidate) = self.next_magic(search, length)? {
            let is_whole = match extent(&self.file, candidate, length)? {
                Extent::Data { length: bytes, content } => self.content(candidate, bytes, content)?,
                Extent::Skippable { .. } => self.index_at(candidate, length)?.is_some(),
                _ => false,
            };
            if is_whole {
                damage.frames += 1;
                damage.bytes += candidate - bad;
                self.at = candidate;
                return Ok(Step::Passed);
            }
            search = candidate + 1;
        }
        if self.is_open {
            self.unfinished = length - bad;
            return Ok(Step::End);
        }
        damage.frames += 1;
        damage.bytes += length - bad;
        self.at = length;
        Ok(Step::End)
    }

    /// Returns the next position at which a frame may begin.
    fn next_magic(&mut self, mut from: u64, length: u64) -> io::Result<Option<u64>> {
        while from < length {
            self.raw.resize(CHUNK, 0);
            let count = read_at(&self.file, &mut self.raw, from)?;
            let bytes = self.raw.get(..count).unwrap_or_default();
            let begins = |four: &[u8]| {
                four == MAGIC
                    || (four.first().is_some_and(|byte| byte & 0xf0 == 0x50) && four.ends_with(&SKIPPABLE))
            };
            if let Some(at) = bytes.windows(4).position(begins) {
                return Ok(Some(from + at as u64));
            }
            if count < CHUNK {
                return Ok(None);
            }
            // A magic number may lie across two chunks.
            from += count as u64 - 3;
        }
        Ok(None)
    }
}
