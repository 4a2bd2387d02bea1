//! Reads all tasks through the kernel's task iterator, about thirty times faster than /proc.

use std::{fs::File, io};

use aya::{
    Btf, Ebpf,
    programs::{Iter, ProgramError, links::LinkError},
};
use probe_common::Kind;
use thiserror::Error;

use super::{group_iterator, iterator_file::IteratorFile};
use crate::failpoint::{self, Point};
use crate::fd::spare;
use crate::kernel::decode::{DecodeError, decode};
use crate::lineage::{id::Tgid, record::Record};

/// The iterator's program in the object.
const PROGRAM: &str = "task_iterator";

/// Why a snapshot failed.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The object has no such program.
    #[error("the eBPF object has no program {0}")]
    NoProgram(&'static str),
    /// The kernel refused the program.
    #[error("loading the task iterator: {0}")]
    Load(#[from] ProgramError),
    /// The kernel refused to open the iterator.
    #[error("opening the task iterator: {0}")]
    Open(#[from] LinkError),
    /// Reading failed halfway.
    #[error("reading the task iterator: {0}")]
    Read(#[from] io::Error),
    /// There is no memory for the iterator's records.
    #[error("making a buffer of {0} bytes for the task iterator: out of memory")]
    Memory(usize),
    /// The iterator ended in the middle of a record.
    #[error("the task iterator ended {0} bytes into a record")]
    Cut(usize),
}

impl SnapshotError {
    /// Returns whether the process has no file descriptor left.
    fn is_exhausted(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref().is_some_and(spare::is_exhausted) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Loads the iterator's program. Opening it later needs no other privilege.
pub fn prepare(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), SnapshotError> {
    let program: &mut Iter =
        ebpf.program_mut(PROGRAM).ok_or(SnapshotError::NoProgram(PROGRAM))?.try_into()?;
    program.load("task", btf)?;
    Ok(())
}

/// Starts to read all tasks, in the order of their tids.
pub fn open(ebpf: &mut Ebpf) -> Result<SnapshotReading, SnapshotError> {
    Ok(SnapshotReading(IteratorFile::new(file(ebpf, PROGRAM, None)?)?))
}

/// Opens an iterator program over all tasks, or over the tasks of one group alone if the kernel can do that.
pub(in crate::kernel) fn file(
    ebpf: &mut Ebpf,
    program: &'static str,
    group: Option<Tgid>,
) -> Result<File, SnapshotError> {
    let program: &mut Iter =
        ebpf.program_mut(program).ok_or(SnapshotError::NoProgram(program))?.try_into()?;
    failpoint::check(Point::IteratorOpen).map_err(SnapshotError::Read)?;
    // Opening takes two descriptors, a link and the file made of it; only the file stays open.
    let open = || {
        if let Some(group) = group {
            match group_iterator::open(program.fd()?, group) {
                Ok(file) => return Ok(file),
                Err(error) if spare::is_exhausted(&error) => return Err(error.into()),
                // Kernels before 6.1.
                Err(_) => {}
            }
        }
        let link_id = program.attach()?;
        Ok(program.take_link(link_id)?.into_file()?)
    };
    spare::retry_if(open, SnapshotError::is_exhausted)
}

/// A snapshot in progress. It pauses between two reads, so that the ring can be drained.
pub struct SnapshotReading(IteratorFile);

impl SnapshotReading {
    /// Reads the next tasks, some hundreds at most. Returns how many there were; 0 at the end.
    pub fn next(
        &mut self,
        mut take: impl FnMut(Result<Record, DecodeError>),
    ) -> Result<usize, SnapshotError> {
        self.0.next::<{ Kind::Snapshot.size() }>(|record| take(decode(record)))
    }
}
