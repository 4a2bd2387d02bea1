//! From a cgroup's id to its path. The kernel has no call for that without `CAP_DAC_READ_SEARCH`; but the id is the inode
//! number of the cgroup's directory (`kernfs_node.id`), so the mounted hierarchy is read, seldom, and remembered.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Place;
use crate::failpoint::{self, Point};
use crate::fd::spare;

/// Directories read at most in one walk: a host with more has some tasks whose place is not known.
const WALK_LIMIT: usize = 65_536;

/// Cgroups remembered, dead ones too: their tasks' last events come after they are gone.
const REMEMBERED: usize = 16_384;

/// Between two walks for ids that were not found, ns.
const WALK_EVERY_NS: u64 = 200_000_000;

/// The v2 hierarchy's root has this id: every task of a host that uses only v1 seems to be there.
const ROOT_ID: u64 = 1;

/// The cgroups of the v2 hierarchy by id.
#[derive(Debug)]
pub struct Cgroups {
    root: Option<PathBuf>,
    places: HashMap<u64, Arc<Place>>,
    next_walk_ns: u64,
    next_roll_call_ns: u64,
    told_unreadable: bool,
    /// Ids that were asked for and not found.
    pub unresolved: u64,
}

impl Cgroups {
    /// Of this host, wherever its v2 hierarchy is mounted.
    #[must_use]
    pub fn of_host() -> Self {
        Self::at(fs::read_to_string("/proc/self/mounts").ok().and_then(|mounts| mount_point(&mounts)))
    }

    /// Below a directory; none of them is known without one.
    #[must_use]
    pub fn at(root: Option<PathBuf>) -> Self {
        Self {
            root,
            places: HashMap::new(),
            next_walk_ns: 0,
            next_roll_call_ns: 0,
            told_unreadable: false,
            unresolved: 0,
        }
    }

    /// Where the v2 hierarchy is mounted.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Every cgroup that is remembered.
    pub fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.places.values()
    }

    /// The place with this id, as far as it is remembered.
    #[must_use]
    pub fn known(&self, id: u64) -> Option<&Arc<Place>> {
        self.places.get(&id)
    }

    /// The place with this id; an unknown one is looked for, but not more often than a few times a second.
    pub fn place(&mut self, id: u64, now_ns: u64) -> Option<&Arc<Place>> {
        if !self.places.contains_key(&id) && now_ns >= self.next_walk_ns {
            self.next_walk_ns = now_ns + WALK_EVERY_NS;
            self.walk();
            if !self.places.contains_key(&id) {
                self.unresolved += 1;
            }
        }
        self.places.get(&id)
    }

    /// Of these cgroups the ones that are gone, so that no task can be in them any more. None where that cannot be told now:
    /// it takes a walk, and those are seldom.
    pub fn gone(&mut self, ids: impl Iterator<Item = u64>, now_ns: u64) -> Vec<u64> {
        let Some(root) = self.root.clone() else { return Vec::new() };
        if now_ns < self.next_roll_call_ns {
            return Vec::new();
        }
        self.next_roll_call_ns = now_ns + WALK_EVERY_NS;
        if !self.walk() {
            return Vec::new();
        }
        let is_there = |id: u64| {
            let Some(place) = self.places.get(&id) else { return false };
            match fs::metadata(root.join(place.path.trim_start_matches('/'))) {
                Ok(found) => found.ino() == id,
                Err(error) => !is_gone(&error),
            }
        };
        ids.filter(|id| *id != ROOT_ID && !is_there(*id)).collect()
    }

    /// Reads the hierarchy. What is gone from it stays remembered as long as there is room. Answers whether it was read to its
    /// end.
    fn walk(&mut self) -> bool {
        let Some(root) = self.root.clone() else { return false };
        if self.places.len() > REMEMBERED {
            self.places.clear();
        }
        self.places.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        let mut open = vec![(root, String::new())];
        let (mut read, mut whole) = (0, true);
        while let Some((directory, path)) = open.pop() {
            read += 1;
            if read > WALK_LIMIT {
                log::warn!(
                    "{}: more than {WALK_LIMIT} cgroups; some places are not known",
                    directory.display()
                );
                return false;
            }
            let entries = match list(&directory) {
                Ok(entries) => entries,
                // One that vanished meanwhile has nothing to tell.
                Err(error) if is_gone(&error) => continue,
                Err(error) => {
                    if std::mem::take(&mut whole) {
                        self.unreadable(&directory, &error);
                    }
                    continue;
                }
            };
            for entry in entries {
                let Ok(entry) = entry else {
                    whole = false;
                    break;
                };
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let name = entry.file_name();
                let below = format!("{path}/{}", name.to_string_lossy());
                let id = entry.ino();
                // Ids are not reused while the host runs: what is known stays true.
                self.places.entry(id).or_insert_with(|| Arc::new(Place::of(&below)));
                open.push((entry.path(), below));
            }
        }
        whole
    }

    /// Says it once, until a walk comes to its end again.
    fn unreadable(&mut self, directory: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.told_unreadable, true) {
            log::warn!(
                "listing {}: {error}; cgroups below it have no names until that works",
                directory.display()
            );
        }
    }
}

fn list(directory: &Path) -> io::Result<fs::ReadDir> {
    failpoint::check(Point::CgroupList)?;
    spare::retry(|| fs::read_dir(directory))
}

/// A cgroup's directory was removed: ENOENT, or ENODEV for one that is open or listed meanwhile.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Mount point of the v2 hierarchy in the text of /proc/self/mounts.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_found_in_a_hybrid_host_too() {
        let mounts =
            "cgroup /sys/fs/cgroup/pids cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_point(mounts).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
        assert_eq!(mount_point("garbage"), None);
    }

    #[test]
    fn an_id_is_the_inode_number_of_a_directory() {
        let root = std::env::temp_dir().join(format!("taskscope-cgroup-{}", std::process::id()));
        fs::create_dir_all(root.join("system.slice/ssh.service")).unwrap();
        let id = fs::metadata(root.join("system.slice/ssh.service")).unwrap().ino();
        let mut cgroups = Cgroups::at(Some(root.clone()));
        assert_eq!(cgroups.place(id, 1).unwrap().unit.as_deref(), Some("ssh.service"));
        assert_eq!(cgroups.known(ROOT_ID).unwrap().path, "/");
        // Not found, and not looked for again at once.
        assert!(cgroups.place(u64::MAX, 2).is_none());
        assert!(cgroups.place(u64::MAX, WALK_EVERY_NS * 2).is_none());
        assert_eq!(cgroups.unresolved, 1);
        let later = WALK_EVERY_NS * 4;
        assert_eq!(cgroups.gone([id, ROOT_ID, u64::MAX].into_iter(), later), [u64::MAX]);
        fs::remove_dir_all(root.join("system.slice")).unwrap();
        assert_eq!(cgroups.gone([id].into_iter(), later), [0; 0], "not told without a walk");
        assert_eq!(cgroups.gone([id].into_iter(), later * 2), [id]);
        fs::remove_dir_all(&root).unwrap();
        assert!(cgroups.place(id, WALK_EVERY_NS * 99).is_some(), "remembered after its end");
    }

    #[test]
    fn without_a_hierarchy_no_place_is_known() {
        assert!(Cgroups::at(None).place(7, 1).is_none());
    }
}
