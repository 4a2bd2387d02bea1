//! SHELL: stores lives and rare events on disk, so that they survive the daemon and reach further back than its memory.
//!
//! The history is a directory of segments. Each segment is a file of zstd frames (RFC 8878) of NDJSON with checksums, so that
//! `zstdcat`, `DuckDB` and polars can read it directly. docs/lives.md describes the directory.
//!
//! The owner of the lineage hands batches to a bounded queue ([`History`]) and never waits. One thread, created at the start,
//! encodes, compresses and writes (`writer`). Lines that it cannot write are counted ([`Stats`]) and reported by a gap line.
//! `read` answers questions from the segments.

mod batch;
mod directory;
mod frame;
mod held;
mod index;
mod keys;
mod name;
mod queue;
pub mod read;
mod segment;
mod stats;
mod writer;

pub use self::{
    directory::{Directory, HistoryError},
    name::{SegmentKind, SegmentName},
    queue::{History, HistoryReading},
    stats::{HistoryFigures, Lost, Stats},
};

/// The longest time between a release and the queueing of its line: lives that lack figures are held for 2 s, and looked at every 5 s.
const HELD_MS: i64 = 10_000;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of all segments together.
    pub bytes: u64,
    /// Lines older than this are removed, a segment at a time.
    pub age: std::time::Duration,
}
