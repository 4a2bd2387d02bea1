//! Finds the path of a cgroup's id. The kernel has no call for that without `CAP_DAC_READ_SEARCH`, but the id is the inode number
//! of the cgroup's directory (`kernfs_node.id`). So the mounted hierarchy is read, rarely, and the result is kept.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use probe_common::CgroupPair;

use super::Place;
use crate::cgroup_mounts::{self, CgroupMounts};
use crate::failpoint::{self, Point};
use crate::fd::spare;

/// The most directories that one round through the hierarchies reads. On a host with more, the place of some tasks stays unknown.
const ROUND_LIMIT: usize = 65_536;

/// The most directories that one walk reads: 0.1 to 0.2 s on the thread of the caller. The next walk goes on from there. Users who
/// have a cgroup delegated to them make as many below it as they like.
const WALK_LIMIT: usize = 4096;

/// A walk is followed by a pause that is this many times as long, at least.
const PAUSE_TIMES: u64 = 8;

/// Bytes of paths that are kept at most, and of paths that are still to be read. A path can have 4 KiB.
const MOST_BYTES: usize = 16 << 20;

/// The most cgroups that are kept, also ones that are gone: the last events of their tasks come later.
const REMEMBERED: usize = 16_384;

/// Time between two walks for ids that were not found, ns, at least.
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
    /// Bytes of the paths of both.
    bytes: usize,
    /// The round that the last walk did not end.
    round: Option<Round>,
    next_walk_ns: u64,
    next_roll_call_ns: u64,
    reported_unreadable: bool,
    reported_limit: bool,
    /// Ids that were looked up and not found.
    pub unresolved: u64,
}

/// A way through the hierarchies, from their roots to the last directory.
#[derive(Debug, Default)]
struct Round {
    /// Directories that are still to be read.
    open: Vec<Directory>,
    /// Bytes of their paths.
    bytes: usize,
    read: usize,
    /// Something could not be read, or was left out.
    has_gaps: bool,
}

#[derive(Debug)]
struct Directory {
    /// In the hierarchy of the v1 controller.
    is_of_controller: bool,
    /// Its path in the hierarchy; empty for the root.
    path: String,
}

impl Round {
    fn push(&mut self, directory: Directory) {
        if self.bytes + directory.path.len() > MOST_BYTES {
            self.has_gaps = true;
            return;
        }
        self.bytes += directory.path.len();
        self.open.push(directory);
    }

    fn pop(&mut self) -> Option<Directory> {
        let next = self.open.pop()?;
        self.bytes = self.bytes.saturating_sub(next.path.len());
        Some(next)
    }
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
            bytes: 0,
            round: None,
            next_walk_ns: 0,
            next_roll_call_ns: 0,
            reported_unreadable: false,
            reported_limit: false,
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
            let begun = Instant::now();
            self.walk();
            self.next_walk_ns = now_ns.saturating_add(pause_ns(begun));
            if !self.join(id) {
                self.unresolved += 1;
            }
        }
        self.places.get(&id)
    }

    /// Takes in a cgroup whose place is known, from a recording.
    pub fn insert(&mut self, id: u64, place: Place) {
        self.places.insert(id, Arc::new(place));
    }

    /// Takes in a cgroup that was made below another one: it may be gone before the hierarchy is read. The numbers are those of one
    /// hierarchy each: ids of the v2 hierarchy, or pairs of 0 and an id of the v1 controller.
    pub fn learn(&mut self, number: u64, parent: u64, name: &str) {
        let (below, above) = (CgroupPair::of(number), CgroupPair::of(parent));
        let (places, id, parent_id) = match below.controller {
            Some(id) => (&mut self.of_controller, id, above.controller.unwrap_or(ROOT_ID)),
            None => (&mut self.places, below.unified, above.unified),
        };
        if places.len() > REMEMBERED || places.contains_key(&id) {
            return;
        }
        let root = if parent_id == ROOT_ID { Some("") } else { None };
        let Some(path) = root.or_else(|| places.get(&parent_id).map(|place| place.path.as_str())) else {
            return;
        };
        let place = Arc::new(Place::of(&format!("{path}/{name}")));
        places.insert(id, place);
    }

    /// Returns whether the place with this id is known; for a pair, whether both of its halves are.
    fn join(&mut self, id: u64) -> bool {
        if self.places.contains_key(&id) {
            return true;
        }
        let CgroupPair { unified, controller: Some(controller) } = CgroupPair::of(id) else { return false };
        if unified == 0 {
            // A cgroup of the v1 controller itself, and not a task's place.
            let Some(place) = self.of_controller.get(&controller).cloned() else { return false };
            self.places.insert(id, place);
            return true;
        }
        let (Some(one), Some(other)) = (self.places.get(&unified), self.of_controller.get(&controller))
        else {
            return false;
        };
        let joined = Arc::new(one.joined(other));
        self.places.insert(id, joined);
        true
    }

    /// Returns which of these cgroups are gone, so that no task can be in them. None if that cannot be found out now: it takes a
    /// walk, and walks are rare. One that no walk has found is gone if this one has read everything.
    pub fn gone(&mut self, ids: impl Iterator<Item = u64>, now_ns: u64) -> Vec<u64> {
        if now_ns < self.next_roll_call_ns {
            return Vec::new();
        }
        let begun = Instant::now();
        let is_whole = self.walk();
        self.next_roll_call_ns = now_ns.saturating_add(pause_ns(begun));
        let is_there = |id: u64| {
            let CgroupPair { unified, controller } = CgroupPair::of(id);
            let of_controller = |id| is_in(self.mounts.controller_root(), &self.of_controller, id);
            is_in(self.root(), &self.places, unified).unwrap_or(!is_whole)
                && controller.is_none_or(|id| of_controller(id).unwrap_or(!is_whole))
        };
        ids.filter(|id| !is_there(*id)).collect()
    }

    /// Reads the hierarchies, as far as one walk goes. Cgroups that are gone are kept while there is room. Returns whether it has read
    /// all of them.
    fn walk(&mut self) -> bool {
        let begins = self.round.is_none();
        let mut round = self.round.take().unwrap_or_else(|| self.begin());
        for _ in 0..WALK_LIMIT {
            let Some(directory) = round.pop() else { return begins && !round.has_gaps };
            round.read += 1;
            if round.read > ROUND_LIMIT {
                self.unlisted(&format!("more than {ROUND_LIMIT} directories"));
                return false;
            }
            self.read(&directory, &mut round);
        }
        self.round = Some(round);
        false
    }

    /// A round from the roots.
    fn begin(&mut self) -> Round {
        let is_full = |places: &HashMap<_, _>| places.len() > REMEMBERED;
        if is_full(&self.places) || is_full(&self.of_controller) || self.bytes > MOST_BYTES / 2 {
            self.places.clear();
            self.of_controller.clear();
            self.bytes = 0;
        }
        let mut round = Round::default();
        let (unified, controller) = (self.root().is_some(), self.mounts.controller_root().is_some());
        if unified {
            round.push(Directory { is_of_controller: false, path: String::new() });
        }
        if controller {
            round.push(Directory { is_of_controller: true, path: String::new() });
            self.of_controller.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        }
        // A task is in the root of the v2 hierarchy even if that hierarchy is not mounted.
        if unified || controller {
            self.places.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        }
        round.has_gaps = !unified && !controller;
        round
    }

    /// Reads one directory.
    fn read(&mut self, of: &Directory, round: &mut Round) {
        let root = if of.is_of_controller { self.mounts.controller_root() } else { self.root() };
        let Some(root) = root else { return };
        let directory = root.join(of.path.trim_start_matches('/'));
        let entries = match list(&directory) {
            Ok(entries) => entries,
            // A cgroup that disappeared in the meantime is skipped.
            Err(error) if is_gone(&error) => return,
            Err(error) => {
                if !std::mem::replace(&mut round.has_gaps, true) {
                    self.unreadable(&directory, &error);
                }
                return;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else {
                round.has_gaps = true;
                return;
            };
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = format!("{}/{}", of.path, entry.file_name().to_string_lossy());
            self.remember(of.is_of_controller, entry.ino(), &path);
            round.push(Directory { is_of_controller: of.is_of_controller, path });
        }
    }

    /// Keeps a cgroup's place. Ids are not reused while the host runs, so what is known stays true.
    fn remember(&mut self, is_of_controller: bool, id: u64, path: &str) {
        let places = if is_of_controller { &mut self.of_controller } else { &mut self.places };
        if places.contains_key(&id) {
            return;
        }
        if self.bytes + path.len() > MOST_BYTES {
            self.unlisted("paths of more than 16 MiB");
            return;
        }
        self.bytes += path.len();
        places.insert(id, Arc::new(Place::of(path)));
    }

    /// Logs once that there are more cgroups than are kept.
    fn unlisted(&mut self, what: &str) {
        if !std::mem::replace(&mut self.reported_limit, true) {
            log::warn!("cgroups: {what}; units and containers of some tasks are not known");
        }
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

/// How long to wait after a walk, ns.
fn pause_ns(begun: Instant) -> u64 {
    let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    took_ns.saturating_mul(PAUSE_TIMES).max(WALK_EVERY_NS)
}

/// Returns whether a cgroup is still in its hierarchy; `None` if no walk has found it.
fn is_in(root: Option<&Path>, places: &HashMap<u64, Arc<Place>>, id: u64) -> Option<bool> {
    if id == ROOT_ID {
        return Some(true);
    }
    let (root, place) = (root?, places.get(&id)?);
    Some(match fs::metadata(root.join(place.path.trim_start_matches('/'))) {
        Ok(found) => found.ino() == id,
        Err(error) => !is_gone(&error),
    })
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
    fn a_cgroup_that_was_made_and_is_gone_has_a_name() {
        let mut cgroups = Cgroups::at(None);
        cgroups.learn(5, ROOT_ID, "system.slice");
        cgroups.learn(6, 5, "short.service");
        assert_eq!(cgroups.place(6, 1).unwrap().unit.as_deref(), Some("short.service"));
        cgroups.learn(9, 8, "below-an-unknown-one");
        assert!(cgroups.known(9).is_none());
        let controller = |id| CgroupPair::pack(0, id);
        cgroups.learn(controller(7), 0, "docker");
        cgroups.learn(controller(8), controller(7), "inner");
        assert_eq!(cgroups.place(controller(8), 1).unwrap().path, "/docker/inner");
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

    /// The id of a directory.
    fn id_of(directory: &Path) -> u64 {
        fs::metadata(directory).unwrap().ino()
    }

    #[test]
    fn a_walk_is_bounded_and_the_next_one_goes_on_from_there() {
        let root = std::env::temp_dir().join(format!("taskscope-cgroups-many-{}", std::process::id()));
        for number in 0..WALK_LIMIT + 10 {
            fs::create_dir_all(root.join(format!("user.slice/{number}/below"))).unwrap();
        }
        let mut cgroups = Cgroups::at(Some(root.clone()));
        let all = 2 * (WALK_LIMIT + 10) + 2;
        let mut walks = 0;
        while !(cgroups.round.is_none() && walks > 0) {
            let before = cgroups.round.as_ref().map_or(0, |round| round.read);
            assert!(cgroups.place(u64::MAX, u64::MAX - 1000 + walks).is_none());
            let read = cgroups.round.as_ref().map_or(all, |round| round.read) - before;
            assert!(read <= WALK_LIMIT, "{read} directories in one walk");
            cgroups.next_walk_ns = 0;
            walks += 1;
        }
        assert_eq!(walks, 3);
        for number in [0, 7, WALK_LIMIT + 9] {
            let below = root.join(format!("user.slice/{number}/below"));
            assert_eq!(cgroups.known(id_of(&below)).unwrap().path, format!("/user.slice/{number}/below"));
        }
        // It cannot be known whether one that was not found is there; one that is known and is not there is gone.
        let removed = root.join("user.slice/7/below");
        let id = id_of(&removed);
        fs::remove_dir(&removed).unwrap();
        assert_eq!(cgroups.gone([id, u64::MAX].into_iter(), 1), [id]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn paths_are_kept_as_far_as_there_is_room() {
        let mut cgroups = Cgroups::at(Some(PathBuf::from("/nonexistent")));
        let path = "/".to_owned() + &"x".repeat(4095);
        for id in 2..100_000 {
            cgroups.remember(false, id, &path);
        }
        assert!(cgroups.bytes <= MOST_BYTES && cgroups.places.len() == MOST_BYTES / path.len());
        cgroups.walk();
        assert_eq!((cgroups.bytes, cgroups.places.len()), (0, 1), "the next round begins anew");
    }

    #[test]
    fn without_a_hierarchy_no_place_is_known() {
        assert!(Cgroups::at(None).place(7, 1).is_none());
    }
}
