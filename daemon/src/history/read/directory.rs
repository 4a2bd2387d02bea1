//! A directory of segments, for reading. It needs no lock, may belong to anybody, and may change at any time.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};
use thiserror::Error;

use crate::history::name::{SegmentKind, SegmentName};

/// Why the history cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The directory cannot be opened or listed.
    #[error(
        "history: reading the directory {path}: {source}; it must be a directory of segments that this user may read"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no segment in it.
    #[error(
        "history: no segment (lives-*.ndjson.zst) is in the directory {path}: is it the `history` of a taskscope?"
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The decompressor cannot be created.
    #[error("history: starting to read: {0}")]
    Start(io::Error),
}

/// An open directory.
#[derive(Debug)]
pub struct ReadDirectory {
    path: PathBuf,
    fd: OwnedFd,
}

impl ReadDirectory {
    /// Opens a directory that has segments.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let wrong = |source: io::Error| ReadError::Directory { path: path.to_owned(), source };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|error| wrong(error.into()))?;
        let directory = Self::of(path, fd);
        if SegmentKind::ALL
            .into_iter()
            .all(|kind| directory.segments(kind).is_ok_and(|names| names.is_empty()))
        {
            return Err(ReadError::Empty { path: path.to_owned() });
        }
        directory.segments(SegmentKind::Lives)?;
        Ok(directory)
    }

    /// Creates one from a descriptor that is open already.
    pub(in crate::history) fn of(path: &Path, fd: OwnedFd) -> Self {
        Self { path: path.to_owned(), fd }
    }

    /// Returns its segments of a kind, the oldest first. Other files are ignored.
    pub(super) fn segments(&self, kind: SegmentKind) -> Result<Vec<SegmentName>, ReadError> {
        let wrong = |source: Errno| ReadError::Directory { path: self.path.clone(), source: source.into() };
        let mut found = Vec::new();
        for entry in Dir::read_from(self.fd.as_fd()).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let name = entry.file_name().to_str().ok().and_then(SegmentName::parse);
            found.extend(name.filter(|name| name.kind == kind));
        }
        found.sort();
        Ok(found)
    }

    /// Opens a segment. A name that is not a regular file's, such as a FIFO's, is an error.
    pub(super) fn segment(&self, name: &SegmentName) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = openat(self.fd.as_fd(), name.to_string(), flags, Mode::empty())?;
        let is_file = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::RegularFile;
        if is_file { Ok(File::from(fd)) } else { Err(io::Error::other("it is not a regular file")) }
    }
}
