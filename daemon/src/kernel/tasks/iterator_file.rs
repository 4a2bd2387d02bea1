//! A file whose reads run an iterator program over tasks, read record by record.

use std::{
    fs::File,
    io::{self, Read as _},
};

use super::snapshot::SnapshotError;
use crate::failpoint::{self, Point};

/// The kernel returns at most eight pages for each read.
const BUFFER_BYTES: usize = 32 << 10;

/// An iterator that is being read.
pub(super) struct IteratorFile {
    file: File,
    buffer: Vec<u8>,
    filled: usize,
}

impl IteratorFile {
    pub(super) fn new(file: File) -> Result<Self, SnapshotError> {
        Ok(Self { file, buffer: buffer(BUFFER_BYTES)?, filled: 0 })
    }

    /// Passes the next records of `SIZE` bytes to `take`, some hundreds at most. Returns how many there were; 0 at the end.
    pub(super) fn next<const SIZE: usize>(
        &mut self,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, SnapshotError> {
        loop {
            let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let read = match failpoint::check(Point::IteratorRead).and_then(|()| self.file.read(space)) {
                Ok(0) if self.filled == 0 => return Ok(0),
                Ok(0) => return Err(SnapshotError::Cut(self.filled)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.filled += read;
            let whole = self.filled - self.filled % SIZE;
            let records = self.buffer.get(..whole).unwrap_or_default().chunks_exact(SIZE);
            let count = records.len();
            records.for_each(&mut take);
            self.buffer.copy_within(whole..self.filled, 0);
            self.filled -= whole;
            if count > 0 {
                return Ok(count);
            }
        }
    }
}

fn buffer(bytes: usize) -> Result<Vec<u8>, SnapshotError> {
    let mut buffer = Vec::new();
    let made = failpoint::check(Point::Buffer).is_ok() && buffer.try_reserve_exact(bytes).is_ok();
    if !made {
        return Err(SnapshotError::Memory(bytes));
    }
    buffer.resize(bytes, 0);
    Ok(buffer)
}
