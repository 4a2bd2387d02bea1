//! Finds the path of a cgroup's id. The kernel has no call for that without `CAP_DAC_READ_SEARCH`, but the id is the inode number
//! of the cgroup's directory (`kernfs_node.id`). So the mounted hierarchy is read, rarely, and the result is kept.
//!
//! `walk` reads the hierarchies.

mod walk;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use probe_common::CgroupPair;

use self::walk::Round;
use super::{
    Place,
    pods::{DIRECTORIES, LOGS, Pods},
};
use crate::{cgroup_mounts::CgroupMounts, host};

/// The least length of the pause after a walk, in multiples of the walk's duration.
const PAUSE_TIMES: u64 = 8;

/// The most cgroups that are kept, including removed ones: the last events of their tasks arrive after the removal.
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
    /// The round through the hierarchies that the last walk did not finish.
    round: Option<Round>,
    next_walk_ns: u64,
    next_check_of_gone_ns: u64,
    reported_unreadable: bool,
    reported_limit: bool,
    /// The names of pods and containers.
    pods: Pods,
    /// Ids that were looked up and not found.
    pub unresolved: u64,
}

impl Cgroups {
    /// The cgroups of this host, in all mounted hierarchies, with the names that the kubelet gives.
    #[must_use]
    pub fn of_host() -> Self {
        Self::without_names().with_pods_of(LOGS.into())
    }

    /// The cgroups of this host; pods and containers have ids only.
    #[must_use]
    pub fn without_names() -> Self {
        Self::of(host::cgroup_mounts())
    }

    /// Takes the names of pods and containers from the kubelet's directories below this one.
    #[must_use]
    pub(super) fn with_pods_of(mut self, logs: PathBuf) -> Self {
        self.pods = Pods::at(logs);
        self
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
            next_check_of_gone_ns: 0,
            reported_unreadable: false,
            reported_limit: false,
            pods: Pods::default(),
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

    /// The directories that have the names of pods and containers.
    #[must_use]
    pub fn directories_of_names(&self) -> Vec<PathBuf> {
        self.pods.root().into_iter().flat_map(|root| DIRECTORIES.map(|name| root.join(name))).collect()
    }

    /// Returns why pods of this host have no names; `None` if they have, and without pods.
    #[must_use]
    pub fn lacks_pods(&self) -> Option<String> {
        self.pods.lacks()
    }

    /// Returns how many pods have names; `None` if no pod was seen.
    #[must_use]
    pub fn named_pods(&self) -> Option<usize> {
        self.pods.count()
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

    /// Returns the place with this id. Reads the hierarchy if the id is unknown, but only a few times a second.
    pub fn place(&mut self, id: u64, now_ns: u64) -> Option<&Arc<Place>> {
        if !self.join(id) && now_ns >= self.next_walk_ns {
            let begun = Instant::now();
            self.walk();
            self.next_walk_ns = now_ns.saturating_add(pause_ns(begun));
            if !self.join(id) {
                self.unresolved += 1;
            }
        }
        if self.pods.is_due(now_ns) {
            self.name_pods(now_ns);
        }
        self.places.get(&id)
    }

    /// Reads the names of pods and containers, and gives them to the places that lack them.
    fn name_pods(&mut self, now_ns: u64) {
        self.pods.read(now_ns);
        for place in self.places.values_mut().chain(self.of_controller.values_mut()) {
            if let Some(named) = self.pods.renamed(place) {
                *place = named;
            }
        }
    }

    /// Adds a cgroup whose place is known, from a recording.
    pub fn insert(&mut self, id: u64, place: Place) {
        self.places.insert(id, Arc::new(place));
    }

    /// Adds a cgroup that was created below another one, because it may be gone before the hierarchy is read. The numbers are those of one
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
        let place = self.pods.named(Place::of(&format!("{path}/{name}")));
        places.insert(id, Arc::new(place));
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

    /// Returns which of these cgroups are gone, so that no task can be in them. Returns none of them if it is too early for another
    /// walk, because finding out takes a walk. A cgroup that no walk has found is gone if this walk has read everything.
    pub fn gone(&mut self, ids: impl Iterator<Item = u64>, now_ns: u64) -> Vec<u64> {
        if now_ns < self.next_check_of_gone_ns {
            return Vec::new();
        }
        let begun = Instant::now();
        let is_whole = self.walk();
        self.next_check_of_gone_ns = now_ns.saturating_add(pause_ns(begun));
        let is_there = |id: u64| {
            let CgroupPair { unified, controller } = CgroupPair::of(id);
            let of_controller = |id| is_in(self.mounts.controller_root(), &self.of_controller, id);
            is_in(self.root(), &self.places, unified).unwrap_or(!is_whole)
                && controller.is_none_or(|id| of_controller(id).unwrap_or(!is_whole))
        };
        ids.filter(|id| !is_there(*id)).collect()
    }
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
