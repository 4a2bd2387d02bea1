//! The mount points of this host's cgroup hierarchies: v2, and those of v1 controllers (`cgroups(7)`).

use std::path::{Path, PathBuf};

/// v1 controllers in which container runtimes make a cgroup for each container; the first that is mounted is used. `pids` comes
/// first because it also shows the cgroup that a task is charged to.
const CONTROLLERS: [&str; 6] = ["pids", "memory", "cpu", "devices", "freezer", "blkio"];

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or for some of them together.
    V1,
    /// One for all.
    V2,
}

impl Version {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// Mount points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    /// The mount point of the v2 hierarchy.
    pub unified: Option<PathBuf>,
    /// A v1 controller in which containers have cgroups, and its hierarchy.
    pub controller: Option<(&'static str, PathBuf)>,
}

/// Returns the mount points of a v1 controller and of the v2 hierarchy, from the text of `/proc/self/mounts`, in its order.
pub(crate) fn with_controller<'a>(
    mounts: &'a str,
    controller: &str,
) -> impl Iterator<Item = (Version, &'a Path)> {
    mounts.lines().filter_map(MountLine::of).filter_map(move |line| match line.kind {
        "cgroup2" => Some((Version::V2, Path::new(line.point))),
        "cgroup" if line.has(controller) => Some((Version::V1, Path::new(line.point))),
        _ => None,
    })
}

impl CgroupMounts {
    /// Parses the text of `/proc/self/mounts`.
    #[must_use]
    pub fn of(mounts: &str) -> Self {
        let lines = || mounts.lines().filter_map(MountLine::of);
        let unified = lines().find(|line| line.kind == "cgroup2").map(|line| line.point.into());
        let controller = CONTROLLERS.iter().find_map(|&name| {
            let line = lines().find(|line| line.kind == "cgroup" && line.has(name))?;
            Some((name, PathBuf::from(line.point)))
        });
        Self { unified, controller }
    }

    /// Returns the v1 controller whose hierarchy shows containers; `None` if only v2 is in use.
    #[must_use]
    pub fn controller(&self) -> Option<&'static str> {
        self.controller.as_ref().map(|(name, _)| *name)
    }

    /// Returns the mount point of that hierarchy.
    #[must_use]
    pub fn controller_root(&self) -> Option<&Path> {
        self.controller.as_ref().map(|(_, root)| root.as_path())
    }

    /// Returns the hierarchy that has the pids controller.
    #[must_use]
    pub fn pids(&self) -> Option<(Version, &Path)> {
        match &self.controller {
            Some(("pids", root)) => Some((Version::V1, root)),
            _ => self.unified.as_deref().map(|root| (Version::V2, root)),
        }
    }

    /// Returns what an operator should know about it; `None` if every container can be identified.
    #[must_use]
    pub fn lacks(&self) -> Option<&'static str> {
        if self.unified.is_none() && self.controller.is_none() {
            return Some(
                "no cgroup hierarchy is mounted where taskscope runs: units, containers and pids.max stay unknown; mount /sys/fs/cgroup",
            );
        }
        None
    }

    /// Returns in words which hierarchies units and containers are taken from.
    #[must_use]
    pub fn sources(&self) -> String {
        match (&self.unified, &self.controller) {
            (Some(_), Some((name, root))) => {
                format!("v2, and v1 by the controller {name} in {}", root.display())
            }
            (Some(_), None) => "v2".into(),
            (None, Some((name, root))) => format!("v1 by the controller {name} in {}", root.display()),
            (None, None) => "none".into(),
        }
    }
}

/// A line of `/proc/self/mounts`.
struct MountLine<'a> {
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> MountLine<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ').skip(1);
        Some(Self { point: fields.next()?, kind: fields.next()?, options: fields.next()? })
    }

    fn has(&self, controller: &str) -> bool {
        self.options.split(',').any(|option| option == controller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
        cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,pids 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn on_a_hybrid_host_both_hierarchies_are_found() {
        let mounts = CgroupMounts::of(HYBRID);
        assert_eq!(mounts.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(mounts.controller(), Some("pids"));
        assert_eq!(mounts.pids(), Some((Version::V1, Path::new("/sys/fs/cgroup/pids"))));
        assert_eq!(mounts.lacks(), None);
    }

    #[test]
    fn on_a_host_with_v2_alone_no_controller_is_looked_for() {
        let mounts = CgroupMounts::of("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!(mounts.controller(), None);
        assert_eq!(mounts.pids(), Some((Version::V2, Path::new("/sys/fs/cgroup"))));
        assert_eq!(mounts.sources(), "v2");
    }

    #[test]
    fn without_the_pids_controller_another_one_knows_the_containers() {
        let mounts = CgroupMounts::of("cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n");
        assert_eq!((mounts.controller(), mounts.pids()), (Some("cpu"), None));
    }

    #[test]
    fn garbage_and_nothing_are_no_hierarchies() {
        for text in ["", "garbage", "proc /proc proc rw 0 0\n", "cgroup"] {
            assert_eq!(CgroupMounts::of(text), CgroupMounts::default(), "{text:?}");
        }
        assert!(CgroupMounts::default().lacks().is_some());
    }
}
