//! Finds memory cgroups by the id in the out-of-memory killer's record: their path, and the contents of their files.
//!
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>

use std::{
    os::unix::fs::DirEntryExt as _,
    path::{Path, PathBuf},
};

use crate::{
    cgroup_mounts::{Version, with_controller},
    host,
    lineage::death::OomCgroup,
};

/// The most directories that one search reads.
const WALK_LIMIT: usize = 4096;

/// The hierarchy with the memory controller.
#[derive(Clone, Debug)]
pub struct MemoryHierarchy {
    root: PathBuf,
    is_v1: bool,
}

impl MemoryHierarchy {
    /// Returns the hierarchy from the text of `/proc/self/mounts`; `None` if none is mounted.
    #[must_use]
    pub fn of(mounts: &str) -> Option<Self> {
        let found = |version| with_controller(mounts, "memory").find(|&(of, _)| of == version);
        let (version, root) = found(Version::V1).or_else(|| found(Version::V2))?;
        Some(Self { root: root.into(), is_v1: version == Version::V1 })
    }

    /// Returns the cgroup with this id, the inode number of its directory; `None` if it is gone or not among the first few
    /// thousand.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<OomCgroup> {
        let mut open = vec![String::new()];
        let mut next = 0;
        while let Some(path) = open.get(next).cloned().filter(|_| next < WALK_LIMIT) {
            next += 1;
            let directory = self.root.join(path.trim_start_matches('/'));
            let Ok(entries) = host::list(&directory) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let below = format!("{path}/{}", entry.file_name().to_string_lossy());
                if entry.ino() == id {
                    return Some(self.read(&entry.path(), below));
                }
                open.push(below);
            }
        }
        None
    }

    fn read(&self, directory: &Path, path: String) -> OomCgroup {
        let text = |file: &str| host::text(directory.join(file)).unwrap_or_default();
        let victims = text(if self.is_v1 { "memory.oom_control" } else { "memory.events" });
        let victims = victims.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        OomCgroup { path, is_v1: self.is_v1, kills_group: text("memory.oom.group").trim() == "1", victims }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_v1_controller_comes_before_the_unified_hierarchy() {
        let both = "cgroup2 /u cgroup2 rw 0 0\ncgroup /m cgroup rw,memory 0 0\n";
        let found = MemoryHierarchy::of(both).unwrap();
        assert!(found.is_v1 && found.root == Path::new("/m"));
        assert!(!MemoryHierarchy::of("cgroup2 /u cgroup2 rw 0 0\ngarbage\n").unwrap().is_v1);
        assert!(MemoryHierarchy::of("proc /proc proc rw 0 0").is_none());
    }

    #[test]
    fn a_cgroup_is_found_by_its_id_with_its_victims() {
        let root = std::env::temp_dir().join(format!("taskscope-memory-{}", std::process::id()));
        let directory = root.join("a/b");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        fs::write(directory.join("memory.oom.group"), "1\n").unwrap();
        let id = fs::metadata(&directory).unwrap().ino();
        let hierarchy = MemoryHierarchy { root: root.clone(), is_v1: false };
        let found = hierarchy.find(id).unwrap();
        let wanted = OomCgroup { path: "/a/b".into(), is_v1: false, kills_group: true, victims: Some(2) };
        assert_eq!(found, wanted);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(hierarchy.find(id), None, "gone");
    }
}
