//! Files of the host that are no process's: its limits, mounts and cgroups.

use std::{fs, io, path::Path};

use crate::{
    bounded,
    failpoint::{self, Point},
    fd::spare,
};

/// The text of a file.
pub(crate) fn text(path: impl AsRef<Path>) -> io::Result<String> {
    failpoint::check(Point::HostRead)?;
    spare::retry(|| fs::read_to_string(path.as_ref()))
}

/// The bytes of a file that has no more than `most`.
pub(crate) fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    failpoint::check(Point::HostRead)?;
    spare::retry(|| bounded::read(path, most))
}

/// The entries of a directory.
pub(crate) fn list(path: &Path) -> io::Result<fs::ReadDir> {
    failpoint::check(Point::HostRead)?;
    spare::retry(|| fs::read_dir(path))
}
