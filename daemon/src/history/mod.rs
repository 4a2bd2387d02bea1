//! SHELL: lives and rare events on disk, so that they outlive memory and the daemon.
//!
//! A directory of segments; each is a file of whole zstd frames (RFC 8878) of NDJSON with checksums, so that `zstdcat`, `DuckDB` and
//! polars read it as it is. docs/lives.md describes the directory.
//!
//! The owner of the lineage hands batches to a bounded queue ([`History`]) and never waits. One thread, made at the start, encodes,
//! compresses and writes (`writer`). What it cannot write is counted ([`Stats`]) and told as a gap line.

mod directory;
mod frame;
mod name;
mod queue;
mod segment;
mod stats;
mod writer;

pub use self::{
    directory::{Directory, HistoryError},
    frame::{Frames, whole_prefix},
    name::{Kind, SegmentName},
    queue::History,
    stats::{Figures, Lost, Stats},
};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments together.
    pub bytes: u64,
    /// Lines older than this are removed, a segment at a time.
    pub age: std::time::Duration,
}
