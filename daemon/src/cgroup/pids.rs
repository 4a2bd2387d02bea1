//! `pids.max` of cgroups: the limit, what is charged against it, and how often it refused a fork. The files are the same in
//! both versions (<https://docs.kernel.org/admin-guide/cgroup-v1/pids.html>).

use std::path::{Path, PathBuf};

use crate::{
    cgroup_mounts::{CgroupMounts, Version},
    host,
};

/// The most directories that one walk reads.
const WALK_LIMIT: usize = 4096;

/// A cgroup that limits pids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidsLimit {
    /// Path below the root of its hierarchy, with a leading slash.
    pub path: String,
    /// The hierarchy's version.
    pub version: Version,
    /// Tasks charged now (`pids.current`), including zombies.
    pub used: u64,
    /// `pids.max`.
    pub limit: u64,
    /// `max` of `pids.events`: forks that failed. Until 6.11, and with v1, each is counted in the cgroup of the task that
    /// forked, which can be a descendant. `None` where there is no such file (before 4.5).
    pub hits: Option<u64>,
}

/// The hierarchy with the pids controller.
#[derive(Clone, Debug)]
pub struct PidsHierarchy {
    root: PathBuf,
    version: Version,
}

impl PidsHierarchy {
    /// Returns the hierarchy with the pids controller among these; `None` if no hierarchy has it.
    #[must_use]
    pub fn of(mounts: &CgroupMounts) -> Option<Self> {
        let (version, root) = mounts.pids()?;
        Some(Self { root: root.to_owned(), version })
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the limits of a cgroup and of all above it.
    #[must_use]
    pub fn above(&self, path: &str) -> Vec<PidsLimit> {
        let mut found = Vec::new();
        let mut path = path.trim_end_matches('/');
        while !path.is_empty() {
            found.extend(self.at(path));
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
        found
    }

    /// Returns the limits of all cgroups that a walk of bounded length finds.
    #[must_use]
    pub fn all(&self) -> Vec<PidsLimit> {
        self.walk().0
    }

    /// Returns the limits as [`Self::all`] does, and how many forks all cgroups refused, with a limit or without: `pids.events`
    /// counts where the tasks are.
    #[must_use]
    pub fn walk(&self) -> (Vec<PidsLimit>, u64) {
        let (mut limits, mut hits) = (Vec::new(), 0);
        let mut open = vec![String::new()];
        let mut read = 0;
        while let Some(path) = open.pop() {
            read += 1;
            if read > WALK_LIMIT {
                break;
            }
            if !path.is_empty() {
                hits += self.hits(&self.directory(&path)).unwrap_or_default();
                limits.extend(self.at(&path));
            }
            let Ok(entries) = host::list(&self.directory(&path)) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(format!("{path}/{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        (limits, hits)
    }

    fn directory(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Returns `None` if there is no limit: `pids.max` says `max`, or does not exist.
    fn at(&self, path: &str) -> Option<PidsLimit> {
        let directory = self.directory(path);
        Some(PidsLimit {
            path: path.to_owned(),
            version: self.version,
            limit: number(&directory.join("pids.max"))?,
            used: number(&directory.join("pids.current"))?,
            hits: self.hits(&directory),
        })
    }

    /// Returns how many forks a cgroup refused. From 6.11 on only those of its own tasks are counted, so that a sum counts no fork
    /// twice.
    fn hits(&self, directory: &Path) -> Option<u64> {
        let local = match self.version {
            Version::V2 => text(&directory.join("pids.events.local")),
            Version::V1 => None,
        };
        let events = local.or_else(|| text(&directory.join("pids.events")))?;
        events.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
    }
}

fn text(file: &Path) -> Option<String> {
    host::text(file).ok()
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(name: &str) -> (PathBuf, PidsHierarchy) {
        let root = std::env::temp_dir().join(format!("taskscope-pids-{}-{name}", std::process::id()));
        for (path, max, current, events) in [
            ("a", "max", "40", Some("max 2\n")),
            ("a/b", "20", "20", Some("max 7\n")),
            ("a/b/c", "100", "3", None),
            ("d", "garbage", "1", Some("nothing")),
        ] {
            let directory = root.join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("pids.max"), max).unwrap();
            fs::write(directory.join("pids.current"), current).unwrap();
            if let Some(events) = events {
                fs::write(directory.join("pids.events"), events).unwrap();
            }
        }
        let hierarchy = PidsHierarchy { root: root.clone(), version: Version::V1 };
        (root, hierarchy)
    }

    #[test]
    fn every_cgroup_above_counts() {
        let (root, hierarchy) = tree("above");
        let found: Vec<_> =
            hierarchy.above("/a/b/c").into_iter().map(|it| (it.path, it.used, it.limit, it.hits)).collect();
        assert_eq!(found, [("/a/b/c".into(), 3, 100, None), ("/a/b".into(), 20, 20, Some(7))]);
        assert_eq!(hierarchy.above("/"), []);
        assert_eq!(hierarchy.above("/gone/x"), [], "a cgroup that vanished limits no process");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn refused_forks_are_counted_also_where_there_is_no_limit() {
        let (root, hierarchy) = tree("walk");
        let (mut limits, hits) = hierarchy.walk();
        limits.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(limits.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["/a/b", "/a/b/c"]);
        assert_eq!(hits, 9);
        fs::remove_dir_all(root).unwrap();
    }
}
