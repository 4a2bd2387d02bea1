//! Reads the frames of a file, one at a time, however large the file is. If a frame is damaged, only that frame is lost.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use zstd::{
    bulk::Decompressor,
    zstd_safe::{find_frame_compressed_size, get_frame_content_size},
};

use super::RecordingError;

/// The first bytes of a frame (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most bytes of a frame's content: the recorder writes a quarter of a mebibyte and one entry.
const CONTENT_MAX: usize = 8 << 20;

/// The most bytes of a frame. One that seems to be longer is damaged.
const FRAME_MAX: usize = CONTENT_MAX + (64 << 10);

/// Bytes that are read from the file at once.
const PIECE: usize = 256 << 10;

/// The frames of a file.
pub(super) struct Frames<R> {
    path: PathBuf,
    file: R,
    /// Bytes that are read and not used yet.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    offset: u64,
    is_at_end: bool,
    decompressor: Decompressor<'static>,
}

/// A frame's content, and where the frame is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Offset of the frame in the file.
    pub offset: u64,
    /// Its entries: [`Entries`](super::entry::Entries).
    pub content: Vec<u8>,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(path: &Path, file: R) -> Result<Self, RecordingError> {
        let wrong = |source| RecordingError::Open { path: path.to_owned(), source };
        Ok(Self {
            path: path.to_owned(),
            file,
            buffer: Vec::new(),
            offset: 0,
            is_at_end: false,
            decompressor: Decompressor::new().map_err(wrong)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file begins with the first bytes of a frame, or with some of them if it is shorter; an error if it is empty.
    pub(super) fn begins_as_recording(&mut self) -> Result<bool, RecordingError> {
        self.fill(MAGIC.len())?;
        if self.buffer.is_empty() {
            return Err(RecordingError::Empty { path: self.path.clone() });
        }
        Ok(self.buffer.iter().zip(MAGIC).all(|(found, expected)| *found == expected))
    }

    /// Returns the next whole frame; `None` at the end. The error says what was left out before it.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, RecordingError> {
        self.fill(1)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let why = match self.whole_frame(0)? {
            Ok((length, content)) => {
                let offset = self.offset;
                self.skip(length);
                return Ok(Some(Frame { offset, content }));
            }
            Err(why) => why,
        };
        let offset = self.offset;
        self.skip_to_next()?;
        let (path, bytes) = (self.path.clone(), self.offset - offset);
        if self.buffer.is_empty() {
            return Err(RecordingError::Torn { path, offset, bytes });
        }
        Err(RecordingError::Damaged { path, offset, bytes, why })
    }

    /// Returns the length and the content of the frame at a place of the buffer, or why there is none.
    fn whole_frame(&mut self, at: usize) -> Result<Result<(usize, Vec<u8>), String>, RecordingError> {
        let mut needed = PIECE;
        let length = loop {
            self.fill(at + needed)?;
            let bytes = self.buffer.get(at..).unwrap_or_default();
            if !bytes.starts_with(&MAGIC) {
                return Ok(Err("no zstd frame begins there".into()));
            }
            match find_frame_compressed_size(bytes) {
                Ok(length) if length <= bytes.len() => break length,
                _ if self.is_at_end || needed >= FRAME_MAX => return Ok(Err("no whole zstd frame".into())),
                _ => needed *= 2,
            }
        };
        let frame = self.buffer.get(at..at + length).unwrap_or_default();
        let size = get_frame_content_size(frame).ok().flatten().and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size <= CONTENT_MAX) else {
            return Ok(Err("a zstd frame that no taskscope writes".into()));
        };
        Ok(match self.decompressor.decompress(frame, size) {
            Ok(content) => Ok((length, content)),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Goes to the next place at which a whole frame begins. A damaged length must not cost the frames behind it.
    fn skip_to_next(&mut self) -> Result<(), RecordingError> {
        loop {
            self.skip(1);
            self.fill(PIECE)?;
            let next = self.buffer.windows(MAGIC.len()).position(|bytes| bytes == MAGIC);
            match next {
                Some(at) => {
                    self.skip(at);
                    if self.whole_frame(0)?.is_ok() {
                        return Ok(());
                    }
                }
                None if self.is_at_end => {
                    self.skip(self.buffer.len());
                    return Ok(());
                }
                // The beginning of a frame may be the end of the buffer.
                None => self.skip(self.buffer.len().saturating_sub(MAGIC.len())),
            }
            if self.buffer.is_empty() && self.is_at_end {
                return Ok(());
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.buffer.len());
        self.buffer.drain(..bytes);
        self.offset += bytes as u64;
    }

    /// Reads until the buffer has this many bytes, or to the end.
    fn fill(&mut self, bytes: usize) -> Result<(), RecordingError> {
        while self.buffer.len() < bytes && !self.is_at_end {
            let filled = self.buffer.len();
            let wanted = (bytes - filled).max(PIECE);
            let read = (&mut self.file).take(wanted as u64).read_to_end(&mut self.buffer);
            match read {
                Ok(read) => self.is_at_end = read < wanted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(RecordingError::Read {
                        path: self.path.clone(),
                        offset: self.offset + filled as u64,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}
