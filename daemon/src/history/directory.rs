//! The directory of segments. It is opened and locked once and then used only by its descriptor, so that no other directory can
//! take its place.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat,
        renameat_with, statat, unlinkat,
    },
    io::Errno,
    process::{geteuid, umask},
};
use thiserror::Error;

use super::{name::SegmentName, read::ReadDirectory};

/// Modes of the directory and of segments: the group reads.
const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// Why there is no history.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The directory cannot be created or opened.
    #[error(
        "history: opening the directory {path}: {source}; make it for the user of the daemon, or set another `history`"
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory belongs to another user.
    #[error(
        "history: the directory {path} belongs to uid {owner}, and the daemon runs as uid {own}: chown it, or set another `history`"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The owner of the directory, a uid.
        owner: u32,
        /// The uid of this process.
        own: u32,
    },
    /// Other users may write to the directory.
    #[error(
        "history: others may write to the directory {path} (mode {mode:o}): chmod 0750 it, or set another `history`"
    )]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another daemon has locked the directory.
    #[error("history: another taskscope writes to the directory {path}: set another `history` for this one")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// No file can be created in the directory.
    #[error(
        "history: making a file in the directory {path}: {source}; it must be writable, on a file system with room"
    )]
    Write {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread or the compressor cannot be started.
    #[error("history: starting the writer: {0}")]
    Start(io::Error),
}

/// An existing segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) name: SegmentName,
    pub(super) bytes: u64,
}

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Opens the directory for writing, creates it if it is missing, and holds a lock against other daemons until it is dropped.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let wrong = |source: Errno| HistoryError::Open { path: path.to_owned(), source: source.into() };
        match mkdirat(CWD, path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(wrong(error)),
        }
        let fd = openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(wrong)?;
        let stat = fstat(&fd).map_err(wrong)?;
        let own = geteuid().as_raw();
        if stat.st_uid != own {
            return Err(HistoryError::Foreign { path: path.to_owned(), owner: stat.st_uid, own });
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(HistoryError::Writable { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
        }
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(HistoryError::Locked { path: path.to_owned() }),
            Err(error) => return Err(wrong(error)),
        }
        let directory = Self { path: path.to_owned(), fd };
        directory.try_writing()?;
        Ok(directory)
    }

    /// Creates and removes a file, so that a read-only or full file system is reported at the start.
    fn try_writing(&self) -> Result<(), HistoryError> {
        const NAME: &str = ".taskscope-try";
        let wrong = |source: Errno| HistoryError::Write { path: self.path.clone(), source: source.into() };
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        openat(&self.fd, NAME, flags, Mode::from_raw_mode(FILE_MODE)).map_err(wrong)?;
        unlinkat(&self.fd, NAME, AtFlags::empty()).map_err(wrong)
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its descriptor, relative to which segments are opened.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Returns the directory for questions, with a descriptor of its own.
    pub(super) fn reader(&self) -> io::Result<ReadDirectory> {
        Ok(ReadDirectory::of(&self.path, self.fd.try_clone()?))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns its segments, the oldest first. Other files are ignored.
    pub(super) fn segments(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(self.fd())? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().and_then(SegmentName::parse) else { continue };
            let stat = statat(self.fd(), entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            found.push(Found { name, bytes: u64::try_from(stat.st_size).unwrap_or(0) });
        }
        found.sort();
        Ok(found)
    }

    /// Creates a segment that must not exist yet.
    pub(super) fn create(&self, name: &SegmentName) -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        Ok(openat(self.fd(), name.to_string(), flags, Mode::from_raw_mode(FILE_MODE))?)
    }

    /// Opens a segment for reading and truncating.
    pub(super) fn edit(&self, name: &SegmentName) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat(self.fd(), name.to_string(), flags, Mode::empty())?)
    }

    /// Renames a segment; the new name must be free.
    pub(super) fn rename(&self, old: &SegmentName, new: &SegmentName) -> io::Result<()> {
        let (old, new) = (old.to_string(), new.to_string());
        Ok(renameat_with(self.fd(), old, self.fd(), new, RenameFlags::NOREPLACE)?)
    }

    pub(super) fn remove(&self, name: &SegmentName) -> io::Result<()> {
        Ok(unlinkat(self.fd(), name.to_string(), AtFlags::empty())?)
    }
}

/// Sets the umask so that the group can read files that this process creates from now on.
pub(super) fn let_group_read() {
    umask(Mode::from_raw_mode(0o027));
}
