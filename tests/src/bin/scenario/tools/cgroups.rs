//! Cgroups for scenarios.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    fact::{Fact, die, skip},
    sys,
};

/// Returns the mount point of the v2 hierarchy (`cgroup2`), or of a v1 controller's.
pub(crate) fn hierarchy(wanted: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut found = mounts.lines().filter_map(|line| {
        let mut parts = line.split(' ').skip(1);
        let (path, kind, options) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = if wanted == "cgroup2" {
            kind == wanted
        } else {
            kind == "cgroup" && options.split(',').any(|it| it == wanted)
        };
        fits.then(|| PathBuf::from(path))
    });
    found.next()
}

/// A cgroup that is removed at the end.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    /// Creates a cgroup for a scenario about deaths.
    pub(crate) fn new(hierarchy: &Path) -> Self {
        let path = hierarchy.join(format!("taskscope-death-{}", sys::getpid()));
        match fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(error) => skip("mkdir of a cgroup", error.raw_os_error().unwrap_or(0)),
        }
    }

    /// Writes to a file of the cgroup; returns whether that was possible.
    pub(crate) fn write(&self, file: &str, text: &str) -> bool {
        fs::write(self.0.join(file), text).is_ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sys::breathe();
        }
    }
}

/// Creates a cgroup with the name of a systemd unit, and prints the name.
pub(crate) fn unit(wanted: &str, what: &str) -> Cgroup {
    let Some(root) = hierarchy(wanted) else { skip("a mount of the cgroup hierarchy", libc::ENOENT) };
    let name = format!("taskscope-{what}-{}.service", sys::getpid());
    let path = root.join(&name);
    if let Err(error) = fs::create_dir(&path) {
        skip("mkdir of a cgroup", error.raw_os_error().unwrap_or(0));
    }
    Fact::new("unit").text("name", &name).emit();
    Cgroup(path)
}

/// Moves this process, and with it its later children, to a cgroup.
pub(crate) fn enter(cgroup: &Path) {
    if fs::write(cgroup.join("cgroup.procs"), "0").is_err() {
        die("moving to a cgroup");
    }
}
