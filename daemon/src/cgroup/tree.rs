//! Finds the path of a cgroup's id. The kernel has no call for that without `CAP_DAC_READ_SEARCH`, but the id is the inode number
//! of the cgroup's directory (`kernfs_node.id`). So the mounted hierarchy is read, rarely, and the result is kept.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use probe_common::CgroupPair;

use super::Place;
use crate::cgroup_mounts::{self, CgroupMounts};
use crate::failpoint::{self, Point};
use crate::fd::spare;

/// The most directories that one walk reads. On a host with more, the place of some tasks stays unknown.
const WALK_LIMIT: usize = 65_536;

/// The most cgroups that are kept, also ones that are gone: the last events of their tasks come later.
const REMEMBERED: usize = 16_384;

/// Time between two walks for ids that were not found, ns.
const WALK_EVERY_NS: u64 = 200_000_000;

/// Id of the v2 hierarchy's root: on a host that uses only v1 every task seems to be there.
const ROOT_ID: u64 = 1;

/// The cgroups of the v2 hierarchy by id, those of a v1 controller, and pairs of both ([`CgroupPair`]).
#[derive(Debug)]
pub struct Cgroups {
    mounts: CgroupMounts,
    places: HashMap<u64, Arc<Place>>,
    /// Cgroups of the v1 controller by id; each hierarchy counts its own ids.
    of_controller: HashMap<u64, Arc<Place>>,
    next_walk_ns: u64,
    next_roll_call_ns: u64,
    reported_unreadable: bool,
    /// Ids that were looked up and not found.
    pub unresolved: u64,
}

impl Cgroups {
    /// The cgroups of this host, wherever its hierarchies are mounted.
    #[must_use]
    pub fn of_host() -> Self {
        Self::of(cgroup_mounts::of_host())
    }

    /// The cgroups below a directory, with v2 alone; without a directory no cgroup is known.
    #[must_use]
    pub fn at(root: Option<PathBuf>) -> Self {
        Self::of(CgroupMounts { unified: root, ..CgroupMounts::default() })
    }

    /// The cgroups of these hierarchies.
    #[must_use]
    pub fn of(mounts: CgroupMounts) -> Self {
        Self {
            mounts,
            places: HashMap::new(),
            of_controller: HashMap::new(),
            next_walk_ns: 0,
            next_roll_call_ns: 0,
            reported_unreadable: false,
            unresolved: 0,
        }
    }

    /// Where the v2 hierarchy is mounted.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.mounts.unified.as_deref()
    }

    /// Where the hierarchies are mounted.
    #[must_use]
    pub const fn mounts(&self) -> &CgroupMounts {
        &self.mounts
    }

    /// Returns all cgroups that are kept.
    pub fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.places.values()
    }

    /// Returns the place with this id if it is kept.
    #[must_use]
    pub fn known(&self, id: u64) -> Option<&Arc<Place>> {
        self.places.get(&id)
    }

    /// Returns the place with this id. An unknown id makes the hierarchy be read, but only a few times a second.
    pub fn place(&mut self, id: u64, now_ns: u64) -> Option<&Arc<Place>> {
        if !self.join(id) && now_ns >= self.next_walk_ns {
            self.next_walk_ns = now_ns + WALK_EVERY_NS;
            self.walk();
            if !self.join(id) {
                self.unresolved += 1;
            }
        }
        self.places.get(&id)
    }

    /// Returns whether the place with this id is known; for a pair, whether both of its halves are.
    fn join(&mut self, id: u64) -> bool {
        if self.places.contains_key(&id) {
            return true;
        }
        let CgroupPair { unified, controller: Some(controller) } = CgroupPair::of(id) else { return false };
        let (Some(one), Some(other)) = (self.places.get(&unified), self.of_controller.get(&controller))
        else {
            return false;
        };
        let joined = Arc::new(one.joined(other));
        self.places.insert(id, joined);
        true
    }

    /// Returns which of these cgroups are gone, so that no task can be in them. None if that cannot be found out now: it takes a
    /// walk, and walks are rare.
    pub fn gone(&mut self, ids: impl Iterator<Item = u64>, now_ns: u64) -> Vec<u64> {
        if now_ns < self.next_roll_call_ns {
            return Vec::new();
        }
        self.next_roll_call_ns = now_ns + WALK_EVERY_NS;
        if !self.walk() {
            return Vec::new();
        }
        let is_there = |id: u64| {
            let CgroupPair { unified, controller } = CgroupPair::of(id);
            let of_controller = |id| is_in(self.mounts.controller_root(), &self.of_controller, id);
            is_in(self.root(), &self.places, unified) && controller.is_none_or(of_controller)
        };
        ids.filter(|id| !is_there(*id)).collect()
    }

    /// Reads the hierarchy. Cgroups that are gone are kept while there is room. Returns whether the walk reached its end.
    fn walk(&mut self) -> bool {
        if self.places.len() > REMEMBERED || self.of_controller.len() > REMEMBERED {
            self.places.clear();
            self.of_controller.clear();
        }
        let mut whole = true;
        if let Some(root) = self.mounts.controller_root().map(Path::to_owned) {
            let mut places = std::mem::take(&mut self.of_controller);
            whole &= self.walk_below(root, &mut places);
            self.of_controller = places;
            // A task is in the root of the v2 hierarchy even if that hierarchy is not mounted.
            self.places.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        }
        if let Some(root) = self.root().map(Path::to_owned) {
            let mut places = std::mem::take(&mut self.places);
            whole &= self.walk_below(root, &mut places);
            self.places = places;
        } else {
            whole &= self.mounts.controller_root().is_some();
        }
        whole
    }

    /// Reads one hierarchy.
    fn walk_below(&mut self, root: PathBuf, places: &mut HashMap<u64, Arc<Place>>) -> bool {
        places.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
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
                // A cgroup that disappeared in the meantime is skipped.
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
                // Ids are not reused while the host runs, so what is known stays true.
                places.entry(id).or_insert_with(|| Arc::new(Place::of(&below)));
                open.push((entry.path(), below));
            }
        }
        whole
    }

    /// Logs this once, until a walk reaches its end again.
    fn unreadable(&mut self, directory: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.reported_unreadable, true) {
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

/// Whether the error means that a cgroup's directory was removed: ENOENT, or ENODEV if it was open or being listed.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Returns whether a cgroup is still in its hierarchy.
fn is_in(root: Option<&Path>, places: &HashMap<u64, Arc<Place>>, id: u64) -> bool {
    if id == ROOT_ID {
        return true;
    }
    let (Some(root), Some(place)) = (root, places.get(&id)) else { return false };
    match fs::metadata(root.join(place.path.trim_start_matches('/'))) {
        Ok(found) => found.ino() == id,
        Err(error) => !is_gone(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_a_v1_controller_is_found_beside_the_unit_of_v2() {
        let id = "0123456789abcdef".repeat(4);
        let base = std::env::temp_dir().join(format!("taskscope-cgroups-v1-{}", std::process::id()));
        let container = base.join("pids/docker").join(&id);
        let unit = base.join("unified/system.slice/docker.service");
        fs::create_dir_all(&container).unwrap();
        fs::create_dir_all(&unit).unwrap();
        let mounts = format!(
            "cgroup {base}/pids cgroup rw,pids 0 0\ncgroup2 {base}/unified cgroup2 rw 0 0\n",
            base = base.display()
        );
        let mut cgroups = Cgroups::of(CgroupMounts::of(&mounts));
        let inode = |directory: &Path| fs::metadata(directory).unwrap().ino() & 0x7fff_ffff;
        // Inode numbers of another file system may be too large for a pair.
        if fs::metadata(&container).unwrap().ino() >> 31 == 0 && fs::metadata(&unit).unwrap().ino() >> 32 == 0
        {
            let place = cgroups.place(CgroupPair::pack(inode(&unit), inode(&container)), 1).unwrap();
            assert_eq!(place.unit.as_deref(), Some("docker.service"));
            assert_eq!(place.container.as_ref().map(|it| it.id.as_str()), Some(id.as_str()));
            assert_eq!(place.path, "/system.slice/docker.service");
            assert_eq!(place.controller_path, Some(format!("/docker/{id}")));
            let place = cgroups.place(CgroupPair::pack(ROOT_ID, inode(&container)), 2).unwrap();
            assert_eq!(place.path, format!("/docker/{id}"), "the root of v2 says nothing");
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn an_id_is_the_inode_number_of_a_directory() {
        let root = std::env::temp_dir().join(format!("taskscope-cgroup-{}", std::process::id()));
        fs::create_dir_all(root.join("system.slice/ssh.service")).unwrap();
        let id = fs::metadata(root.join("system.slice/ssh.service")).unwrap().ino();
        let mut cgroups = Cgroups::at(Some(root.clone()));
        assert_eq!(cgroups.place(id, 1).unwrap().unit.as_deref(), Some("ssh.service"));
        assert_eq!(cgroups.known(ROOT_ID).unwrap().path, "/");
        // Not found, and not searched for again at once.
        assert!(cgroups.place(u64::MAX, 2).is_none());
        assert!(cgroups.place(u64::MAX, WALK_EVERY_NS * 2).is_none());
        assert_eq!(cgroups.unresolved, 1);
        let later = WALK_EVERY_NS * 4;
        assert_eq!(cgroups.gone([id, ROOT_ID, u64::MAX].into_iter(), later), [u64::MAX]);
        fs::remove_dir_all(root.join("system.slice")).unwrap();
        assert_eq!(cgroups.gone([id].into_iter(), later), [0; 0], "not known without a walk");
        assert_eq!(cgroups.gone([id].into_iter(), later * 2), [id]);
        fs::remove_dir_all(&root).unwrap();
        assert!(cgroups.place(id, WALK_EVERY_NS * 99).is_some(), "remembered after its end");
    }

    #[test]
    fn without_a_hierarchy_no_place_is_known() {
        assert!(Cgroups::at(None).place(7, 1).is_none());
    }
}
