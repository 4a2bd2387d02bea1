//! All tasks that /proc shows, for those that the kernel's iterator hides, or if there is no iterator.

use std::{fs, io, os::linux::fs::MetadataExt as _};

use super::{Procfs, ProcfsError, Stat};
use crate::{
    lineage::id::{Tgid, Tid},
    pidns,
};

/// How much of the system a /proc shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All tasks, with the same pids as the kernel's records.
    All,
    /// Some are hidden (`hidepid`): a missing process may still exist.
    Partial,
    /// Nothing usable: pids of another namespace, or no /proc.
    None,
}

impl Procfs {
    /// Returns how much this /proc shows.
    #[must_use]
    pub fn sight(&self) -> Sight {
        match fs::metadata(self.root.join("self/ns/pid")) {
            Ok(namespace) if namespace.st_ino() == pidns::INITIAL_INODE => {}
            _ => return Sight::None,
        }
        // A process that may not read init may not read others either.
        match self.stat(Tgid(1)) {
            Ok(Some(_)) => Sight::All,
            _ => Sight::Partial,
        }
    }

    /// Returns what this /proc hides and what to do about it, as a message for the operator; `None` if everything is shown.
    #[must_use]
    pub fn lacks(&self) -> Option<&'static str> {
        match self.sight() {
            Sight::All => None,
            Sight::Partial => Some(
                "/proc hides processes from taskscope (hidepid): what signals their threads block or wait for stays unknown; mount it \
                 without hidepid, or with gid= of a group that taskscope is in",
            ),
            Sight::None => Some(
                "/proc is of another pid namespace, or not mounted: facts that only /proc has stay unknown; run taskscope in the initial pid namespace",
            ),
        }
    }

    /// Returns all thread groups shown, in no order.
    pub fn groups(&self) -> Result<Vec<Tgid>, ProcfsError> {
        Ok(self.numbers("")?.unwrap_or_default().into_iter().map(Tgid).collect())
    }

    /// Returns the kernel's own count of tasks; `None` if that is not shown.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        let text = String::from_utf8(super::read(&self.root.join("loadavg")).ok()?).ok()?;
        // "0.20 0.18 0.12 1/80 11206": runnable and all.
        text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
    }

    /// Returns all tasks of a group, its leader first; empty if the group is gone.
    pub fn tasks(&self, tgid: Tgid) -> Result<Vec<Tid>, ProcfsError> {
        let mut tids = self.numbers(&format!("{tgid}/task"))?.unwrap_or_default();
        tids.sort_unstable_by_key(|&tid| (tid != tgid.0, tid));
        Ok(tids.into_iter().map(Tid).collect())
    }

    /// Reads `/proc/PID/task/TID/stat`; `None` if there is no such task.
    pub fn task_stat(&self, group: Tgid, task: Tid) -> Result<Option<Stat>, ProcfsError> {
        self.read_stat(&format!("{group}/task/{task}/stat"))
    }

    /// Returns the entries whose names are numbers; `None` if the directory is gone.
    fn numbers(&self, directory: &str) -> Result<Option<Vec<u32>>, ProcfsError> {
        let path = self.root.join(directory);
        let failed = |source: io::Error| ProcfsError::Io { path: path.clone(), source };
        let entries = match super::list(&path) {
            Ok(entries) => entries,
            Err(error) if super::is_gone(&error) && !directory.is_empty() => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    numbers.extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
                }
                Err(error) if super::is_gone(&error) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Some(numbers))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("taskscope-tasks-{}-{name}", std::process::id()));
        for directory in ["42/task/42", "42/task/40", "42/task/41", "self", "net"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        root
    }

    #[test]
    fn groups_are_the_numbers_and_a_leader_comes_before_its_threads() {
        let root = root("list");
        let procfs = Procfs::at(&root);
        assert_eq!(procfs.groups().unwrap(), [Tgid(42)]);
        assert_eq!(procfs.tasks(Tgid(42)).unwrap(), [Tid(42), Tid(40), Tid(41)]);
        assert_eq!(procfs.tasks(Tgid(43)).unwrap(), [], "a group that is gone has no tasks");
        assert_eq!(procfs.task_stat(Tgid(42), Tid(40)).unwrap(), None, "gone between the two reads");
        fs::remove_dir_all(&root).unwrap();
        assert!(procfs.groups().unwrap_err().to_string().contains("taskscope-tasks"), "no /proc is an error");
    }

    #[test]
    fn the_kernels_count_is_read_where_it_is_shown() {
        let root = root("count");
        assert_eq!(Procfs::at(&root).count(), None);
        fs::write(root.join("loadavg"), "0.20 0.18 0.12 1/80 11206\n").unwrap();
        assert_eq!(Procfs::at(&root).count(), Some(80));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_proc_that_is_none_or_of_another_namespace_is_not_used() {
        let root = root("sight");
        assert_eq!(Procfs::at(&root).sight(), Sight::None);
        fs::remove_dir_all(&root).unwrap();
    }
}
