//! Finds the processes that have a pipe open, and those that hold a file lock for which others wait. /proc is read once for each answer,
//! because an answer about a hundred parents asks a hundred times.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Procfs, Stat, read_up_to, value};
use crate::{
    lineage::id::{GroupKey, Tgid},
    verdict::facts::Named,
};

/// The most processes that are read.
const MOST_PROCESSES: usize = 8192;

/// The most descriptors of one process that are read.
const MOST_DESCRIPTORS: usize = 1024;

/// The most descriptors of all processes that are read for one answer, which takes a fifth of a second.
const MOST_IN_ALL: usize = 65_536;

/// The most bytes of /proc/PID/fdinfo/FD that are read; the flags are in the second line.
const FDINFO_MAX: usize = 4096;

/// The most bytes of /proc/locks that are read.
const LOCKS_MAX: usize = 1 << 20;

/// What was read for one answer. A clone is empty, because it is for another answer.
#[derive(Debug, Default)]
pub(super) struct OpenPipes {
    processes: OnceLock<Vec<Process>>,
    /// Descriptors looked at.
    looked_at: AtomicUsize,
    /// The holder of a lock by the process that waits for it.
    lock_holders: OnceLock<HashMap<u32, u32>>,
}

impl Clone for OpenPipes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A process, and the pipes that it has open, once a query has read them.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) tgid: Tgid,
    pub(super) stat: Stat,
    pipes: OnceLock<Vec<(u32, u64)>>,
}

impl Process {
    pub(super) fn named(&self) -> Named {
        Named { key: GroupKey { tgid: self.tgid, start: None }, name: Some(self.stat.comm.clone()) }
    }

    /// Returns its descriptors that are pipes, with their inodes.
    fn pipes(&self, root: &Path, looked_at: &AtomicUsize) -> &[(u32, u64)] {
        self.pipes.get_or_init(|| {
            let left = MOST_IN_ALL.saturating_sub(looked_at.load(Ordering::Relaxed));
            let directory = root.join(self.tgid.to_string()).join("fd");
            let Ok(entries) = super::list(&directory) else { return Vec::new() };
            let mut pipes = Vec::new();
            for entry in entries.take(MOST_DESCRIPTORS.min(left)).flatten() {
                looked_at.fetch_add(1, Ordering::Relaxed);
                let fd = entry.file_name().to_str().and_then(|name| name.parse().ok());
                pipes.extend(fd.zip(pipe(&entry.path())));
            }
            pipes
        })
    }
}

impl Procfs {
    /// Returns the first wanted process that has a pipe open in this mode, or for reading and writing.
    pub(super) fn holder(
        &self,
        inode: u64,
        mode: i32,
        is_wanted: impl Fn(&Process) -> bool,
    ) -> Option<Named> {
        let (processes, looked_at) = (self.open.processes.get_or_init(|| self.all()), &self.open.looked_at);
        let holds = |process: &&Process| {
            process.pipes(&self.root, looked_at).iter().any(|&(fd, other)| {
                let fdinfo = self.root.join(format!("{}/fdinfo/{fd}", process.tgid));
                other == inode && is_open_for(&fdinfo, mode)
            })
        };
        processes.iter().filter(|process| is_wanted(process)).find(holds).map(Process::named)
    }

    /// Returns the pid of the process that holds the lock for which `waiter` waits.
    pub(super) fn lock_holder(&self, waiter: Tgid) -> Option<u32> {
        let read = || {
            let text = read_up_to(&self.root.join("locks"), LOCKS_MAX).unwrap_or_default();
            lock_holders(&text)
        };
        self.open.lock_holders.get_or_init(read).get(&waiter.0).copied()
    }

    fn all(&self) -> Vec<Process> {
        let Ok(entries) = super::list(&self.root) else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let read = |pid| {
            let stat = self.stat(Tgid(pid)).ok()??;
            Some(Process { tgid: Tgid(pid), stat, pipes: OnceLock::new() })
        };
        pids.take(MOST_PROCESSES).filter_map(read).collect()
    }
}

/// Returns the pid of the holder of each lock, by the pid of the process that waits for it, from the text of /proc/locks. Lines that begin
/// with the same number are about one lock, and `->` marks a process that waits. The lock of an open file description has no owner.
fn lock_holders(locks: &[u8]) -> HashMap<u32, u32> {
    let text = std::str::from_utf8(locks).unwrap_or_default();
    let (mut held, mut waits) = (HashMap::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(lock), Some(second)) = (words.next(), words.next()) else { continue };
        // Mode and access follow. The line of a process that waits also has the type.
        let is_waiting = second == "->";
        let Some(pid) = words.nth(if is_waiting { 3 } else { 2 }) else { continue };
        if is_waiting {
            waits.push((lock, pid));
        } else {
            held.entry(lock).or_insert(pid);
        }
    }
    let holder = |(lock, waiter): (&str, &str)| Some((waiter.parse().ok()?, held.get(lock)?.parse().ok()?));
    waits.into_iter().filter_map(holder).collect()
}

/// The inode of a pipe behind a descriptor.
pub(super) fn pipe(fd: &Path) -> Option<u64> {
    let target = fs::read_link(fd).ok()?;
    target.to_str()?.strip_prefix("pipe:[")?.strip_suffix("]")?.parse().ok()
}

/// Whether a descriptor is open for reading or writing, by the octal flags of open(2).
fn is_open_for(fdinfo: &Path, mode: i32) -> bool {
    let Ok(info) = read_up_to(fdinfo, FDINFO_MAX) else { return false };
    let flags = value(&info, "flags").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| [mode, libc::O_RDWR].contains(&(flags & libc::O_ACCMODE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_waiter() {
        let locks =
            b"1: FLOCK  ADVISORY  WRITE 700 08:01:131 0 EOF\n2: POSIX  ADVISORY  WRITE 800 08:01:132 0 EOF\n\
            2: -> POSIX  ADVISORY  WRITE 900 08:01:132 0 EOF\n3: OFDLCK ADVISORY  READ -1 08:01:133 0 0\n\
            3: -> OFDLCK ADVISORY  WRITE 901 08:01:133 0 0\n";
        let holders = lock_holders(locks);
        assert_eq!(holders.get(&900), Some(&800));
        assert_eq!(holders.get(&901), None, "a lock of an open file has no owner");
        assert_eq!(holders.get(&700), None, "it waits for none");
        for len in 0..locks.len() {
            let _ = lock_holders(&locks[..len]);
        }
    }

    /// Creates a /proc with many processes, each with many descriptors; the last of each is a pipe.
    fn tree(name: &str, processes: u32, descriptors: u32) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("taskscope-open-{}-{name}", std::process::id()));
        for pid in 1..=processes {
            let (fd, fdinfo) = (root.join(format!("{pid}/fd")), root.join(format!("{pid}/fdinfo")));
            fs::create_dir_all(&fd).unwrap();
            fs::create_dir_all(&fdinfo).unwrap();
            let stat = format!("{pid} (p{pid}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0 0 0 0 0");
            fs::write(root.join(format!("{pid}/stat")), stat).unwrap();
            for number in 1..descriptors {
                symlink("/dev/null", fd.join(number.to_string())).unwrap();
            }
            symlink(format!("pipe:[{pid}]"), fd.join("9999")).unwrap();
            fs::write(fdinfo.join("9999"), "pos:\t0\nflags:\t0100001\n").unwrap();
        }
        root
    }

    #[test]
    fn descriptors_are_read_once_for_all_questions_of_an_answer() {
        let root = tree("once", 20, 10);
        let procfs = Procfs::at(&root);
        for _ in 0..50 {
            for pid in 1..=20 {
                let holder = procfs.holder(pid, libc::O_WRONLY, |_| true).unwrap();
                assert_eq!(u64::from(holder.key.tgid.0), pid);
                assert_eq!(holder.name.as_deref(), Some(format!("p{pid}").as_bytes()));
            }
            assert!(procfs.holder(7, libc::O_RDONLY, |_| true).is_none(), "it is open for writing");
            assert!(procfs.holder(7, libc::O_WRONLY, |process| process.tgid.0 != 7).is_none());
        }
        assert_eq!(procfs.open.looked_at.load(Ordering::Relaxed), 20 * 10);
        assert_eq!(procfs.clone().open.looked_at.load(Ordering::Relaxed), 0, "the next answer reads anew");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_looked_at_for_one_answer_is_bounded() {
        let root = tree("bounded", 3, 1500);
        let procfs = Procfs::at(&root);
        assert!(procfs.holder(4, libc::O_WRONLY, |_| true).is_none());
        assert_eq!(procfs.open.looked_at.load(Ordering::Relaxed), 3 * MOST_DESCRIPTORS);
        let procfs = Procfs::at(&root);
        procfs.open.looked_at.store(MOST_IN_ALL - 10, Ordering::Relaxed);
        assert!(procfs.holder(4, libc::O_WRONLY, |_| true).is_none());
        assert_eq!(procfs.open.looked_at.load(Ordering::Relaxed), MOST_IN_ALL);
        fs::remove_dir_all(root).unwrap();
    }
}
