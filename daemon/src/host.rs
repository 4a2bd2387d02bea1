//! Files of the host that belong to no process: its limits, mounts and cgroups.

mod identity;

pub(crate) use self::identity::Identity;

use std::{fs, io, path::Path};

use crate::{
    bounded,
    cgroup_mounts::CgroupMounts,
    failpoint::{self, Point},
    fd::spare,
};

/// The text of a file.
pub(crate) fn text(path: impl AsRef<Path>) -> io::Result<String> {
    failpoint::check(Point::HostRead)?;
    spare::retry(|| fs::read_to_string(path.as_ref()))
}

/// Returns where cgroup hierarchies are mounted; none if the mounts cannot be read.
pub(crate) fn cgroup_mounts() -> CgroupMounts {
    text("/proc/self/mounts").map(|mounts| CgroupMounts::of(&mounts)).unwrap_or_default()
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
