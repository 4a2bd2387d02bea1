//! SHELL: recordings: what the pipeline took in, in a file from which it can be replayed. docs/recordings.md describes the format.
//!
//! - `entry`: the kinds of entries; `facts`, `header`: the fields of their messages; `wire`: the encoding
//! - `writer`: writes a file; `redact`: replaces names by hashes
//! - `reader`, `frames`: read a file, and leave out what is damaged
//!
//! An entry is a decoded record or another input of the lineage, not the bytes of the ring. Those bytes belong to one version of
//! the programs, and they do not contain what the pipeline read from /proc, which no other host can read again.

pub mod entry;
mod facts;
mod frames;
pub mod header;
mod reader;
mod redact;
pub(crate) mod wire;
mod writer;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use thiserror::Error;

pub use self::{
    entry::{Counters, End, Entries, Entry},
    frames::Frame,
    header::{FORMAT, Header, Hook},
    reader::Reader,
    redact::Redaction,
    wire::Malformed,
    writer::{Journal, Recorded},
};

/// Why a recording cannot be written or read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file cannot be created.
    #[error("{}: making the recording: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has content.
    #[error("{}: exists and is not empty; remove it, or choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("{}: writing the recording at offset {offset}: {source}; what is before that offset can be replayed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Bytes of whole frames.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The key of `--redact-key` cannot be used.
    #[error("{}: reading the key for hashes: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("{}: opening the recording: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("{}: reading the recording at offset {offset}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{}: an empty file, not a recording; `taskscope record FILE` makes one", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another kind.
    #[error("{}: not a recording of taskscope: it does not begin with the header of one (offset 0)", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file has a format of a later version.
    #[error(
        "{}: a recording of format {format}, and taskscope {} reads formats up to {FORMAT}: use a later taskscope",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A part in the middle cannot be read.
    #[error("{}: {bytes} bytes at offset {offset} are damaged and left out: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
        /// Why.
        why: String,
    },
    /// A frame is whole, and its content is not understood.
    #[error("{}: the frame at offset {offset} is not understood and left out from there: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Offset of the frame.
        offset: u64,
        /// Why.
        error: Malformed,
    },
    /// The last frame was not written whole.
    #[error("{}: its last {bytes} bytes, from offset {offset}, were not written whole, and are left out", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

impl RecordingError {
    /// Whether nothing more can be read.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::Malformed { .. } | Self::Torn { .. })
    }
}
