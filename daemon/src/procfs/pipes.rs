//! Finds the process that holds the other end of a pipe that a process waits for, or a file lock that it waits for.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use super::{Procfs, Stat, read_up_to, value};
use crate::{
    lineage::id::{GroupKey, Tgid},
    verdict::facts::{Call, HeldCall, Named, PipeRead, ProcessFacts, ThreadFacts},
};

/// The most processes that are searched for the other end.
const MOST_PROCESSES: usize = 8192;

/// The most descriptors of one process that are searched.
const MOST_DESCRIPTORS: usize = 1024;

/// The most descriptors of one poll(2) that are read.
const MOST_POLLED: u32 = 16;

/// Bytes of `struct pollfd`, whose first field is the descriptor and whose second has the events that are wanted.
const POLLFD_BYTES: usize = 8;

/// Bytes of /proc/PID/fdinfo/FD that are read: flags stand in the second line.
const FDINFO_MAX: usize = 4096;

/// Bytes of /proc/locks that are read.
const LOCKS_MAX: usize = 1 << 20;

impl Procfs {
    /// Returns the pipe that a thread of a process waits to read from, if a process that began later has it open for writing.
    /// Standard input is ignored, because many programs read it all the time. Returns `None` also if the descriptors cannot be
    /// read.
    #[must_use]
    pub fn pipe_read(&self, reader: GroupKey, facts: &ProcessFacts) -> Option<PipeRead> {
        let directory = self.root.join(reader.tgid.to_string());
        let began = self.stat(reader.tgid).ok()??.start_ticks;
        facts.live().find_map(|thread| {
            let fds = read_by(&directory, thread)?;
            let pipe_of = |fd: u32| pipe(&directory.join("fd").join(fd.to_string()));
            // A loop that polls other descriptors too, or pipes of its own children, does not wait for the end of one pipe.
            let polls = matches!(thread.call, Some(Call::Poll(..)));
            if polls && fds.iter().any(|&fd| pipe_of(fd).is_none()) {
                return None;
            }
            fds.into_iter().filter(|&fd| fd != 0).find_map(|fd| {
                let writer = self.writer(pipe_of(fd)?, reader.tgid, began, !polls)?;
                Some(PipeRead { tid: thread.tid, fd, writer })
            })
        })
    }

    /// Returns the write to a full pipe, or the wait for a file lock, in which a thread sleeps. A blocking write to a pipe sleeps
    /// only if the pipe is full.
    #[must_use]
    pub fn held_call(&self, of: GroupKey, facts: &ProcessFacts) -> Option<HeldCall> {
        let directory = self.root.join(of.tgid.to_string());
        facts.live().find_map(|thread| match thread.call? {
            Call::Write(fd) => {
                let inode = pipe(&directory.join("fd").join(fd.to_string()))?;
                let by = self.holder(of.tgid, |_, process, _| holds(process, inode, libc::O_RDONLY));
                Some(HeldCall { tid: thread.tid, fd, is_lock: false, by })
            }
            Call::Lock(fd) => {
                let holder = lock_holder(&read_up_to(&self.root.join("locks"), LOCKS_MAX).ok()?, of.tgid.0);
                let stat = holder.and_then(|pid| Some((pid, self.stat(Tgid(pid)).ok()??)));
                let by = stat.map(|(pid, stat)| Named {
                    key: GroupKey { tgid: Tgid(pid), start: None },
                    name: Some(stat.comm),
                });
                Some(HeldCall { tid: thread.tid, fd, is_lock: true, by })
            }
            _ => None,
        })
    }

    /// Returns a process that has a pipe open for writing and began after the reader, which began at `began`.
    fn writer(&self, inode: u64, reader: Tgid, began: u64, may_be_child: bool) -> Option<Named> {
        self.holder(reader, |tgid, directory, stat| {
            // The process that forked the reader may have begun in the same tick; it has the lower pid.
            let is_younger = (stat.start_ticks, tgid) > (began, reader);
            let is_wanted = is_younger && (may_be_child || stat.ppid != reader.0);
            is_wanted && holds(directory, inode, libc::O_WRONLY)
        })
    }

    /// Returns the first other process that matches.
    fn holder(&self, than: Tgid, is_wanted: impl Fn(Tgid, &Path, &Stat) -> bool) -> Option<Named> {
        let pids = super::list(&self.root).ok()?.filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            (pid != than.0).then_some(Tgid(pid))
        });
        pids.take(MOST_PROCESSES).find_map(|tgid| {
            let stat = self.stat(tgid).ok()??;
            let wanted = is_wanted(tgid, &self.root.join(tgid.to_string()), &stat);
            wanted.then_some(Named { key: GroupKey { tgid, start: None }, name: Some(stat.comm) })
        })
    }
}

/// Returns the pid of the process that holds the lock that `waiter` waits for, from the text of /proc/locks. Lines that begin
/// with the same number are about one lock, and `->` marks waiters.
fn lock_holder(locks: &[u8], waiter: u32) -> Option<u32> {
    let text = std::str::from_utf8(locks).ok()?;
    let lines = || text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let waiter = waiter.to_string();
    let lock = lines().find(|words| words.get(1) == Some(&"->") && words.get(5) == Some(&waiter.as_str()))?;
    let held = lines().find(|words| words.first() == lock.first() && words.get(1) != Some(&"->"))?;
    held.get(4)?.parse().ok()
}

/// Descriptors that a thread waits to read from.
fn read_by(process: &Path, thread: &ThreadFacts) -> Option<Vec<u32>> {
    match thread.call? {
        Call::Read(fd) => Some(vec![fd]),
        Call::Poll(address, count) => {
            let mut polled = vec![0; count.min(MOST_POLLED) as usize * POLLFD_BYTES];
            fs::File::open(process.join("mem")).ok()?.read_exact_at(&mut polled, address).ok()?;
            Some(polled.chunks_exact(POLLFD_BYTES).filter_map(wanted).collect())
        }
        _ => None,
    }
}

/// Returns the descriptor of a `struct pollfd` if it is polled for input.
fn wanted(pollfd: &[u8]) -> Option<u32> {
    let fd = i32::from_ne_bytes(pollfd.get(..4)?.try_into().ok()?);
    let events = i16::from_ne_bytes(pollfd.get(4..6)?.try_into().ok()?);
    (events & libc::POLLIN != 0).then(|| u32::try_from(fd).ok()).flatten()
}

/// Returns the inode of the pipe of a descriptor.
fn pipe(fd: &Path) -> Option<u64> {
    let target = fs::read_link(fd).ok()?;
    target.to_str()?.strip_prefix("pipe:[")?.strip_suffix("]")?.parse().ok()
}

/// Whether a process has a pipe open in this mode, or for both.
fn holds(process: &Path, inode: u64, mode: i32) -> bool {
    let Ok(entries) = super::list(&process.join("fd")) else { return false };
    entries.take(MOST_DESCRIPTORS).flatten().any(|entry| {
        pipe(&entry.path()) == Some(inode)
            && is_open_for(&process.join("fdinfo").join(entry.file_name()), mode)
    })
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

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_waiter() {
        let locks =
            b"1: FLOCK  ADVISORY  WRITE 700 08:01:131 0 EOF\n2: POSIX  ADVISORY  WRITE 800 08:01:132 0 EOF\n\
            2: -> POSIX  ADVISORY  WRITE 900 08:01:132 0 EOF\n3: OFDLCK ADVISORY  READ -1 08:01:133 0 0\n\
            3: -> OFDLCK ADVISORY  WRITE 901 08:01:133 0 0\n";
        assert_eq!(lock_holder(locks, 900), Some(800));
        assert_eq!(lock_holder(locks, 901), None, "a lock of an open file has no owner");
        assert_eq!(lock_holder(locks, 700), None, "it waits for none");
        for len in 0..locks.len() {
            let _ = lock_holder(&locks[..len], 900);
        }
    }
}
