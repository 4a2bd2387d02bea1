//! Who holds the other end of a pipe that a process waits to read from.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use super::{Procfs, facts::value, read_up_to};
use crate::{
    lineage::id::{GroupKey, Tgid},
    verdict::facts::{Call, Named, PipeRead, ProcessFacts, ThreadFacts},
};

/// Processes that are looked at for the other end.
const MOST_PROCESSES: usize = 8192;

/// Descriptors of one process that are looked at.
const MOST_DESCRIPTORS: usize = 1024;

/// Descriptors of one poll(2) that are looked at.
const MOST_POLLED: u32 = 16;

/// Bytes of `struct pollfd`, whose first field is the descriptor and whose second has the events that are wanted.
const POLLFD_BYTES: usize = 8;

/// Bytes of /proc/PID/fdinfo/FD that are read: flags stand in the second line.
const FDINFO_MAX: usize = 4096;

impl Procfs {
    /// The pipe that a thread of a process waits to read from, if a process that began later has it open for writing. Standard input
    /// does not count: it is the work of many programs to read that. `None` also where that may not be seen.
    #[must_use]
    pub fn pipe_read(&self, reader: GroupKey, facts: &ProcessFacts) -> Option<PipeRead> {
        let directory = self.root.join(reader.tgid.to_string());
        let began = self.stat(reader.tgid).ok()??.start_ticks;
        facts.live().find_map(|thread| {
            let fds = read_by(&directory, thread)?;
            let pipe_of = |fd: u32| pipe(&directory.join("fd").join(fd.to_string()));
            // A loop that polls other things too waits for whatever comes first, not for the end of a pipe; and so does one that polls
            // pipes of its own children.
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

    /// A process that began no earlier than `began` and has a pipe open for writing.
    fn writer(&self, inode: u64, reader: Tgid, began: u64, may_be_child: bool) -> Option<Named> {
        let pids = super::list(&self.root).ok()?.filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            (pid != reader.0).then_some(Tgid(pid))
        });
        pids.take(MOST_PROCESSES).find_map(|tgid| {
            let stat = self.stat(tgid).ok()??;
            let directory = self.root.join(tgid.to_string());
            let is_wanted = stat.start_ticks >= began && (may_be_child || stat.ppid != reader.0);
            let named = Named { key: GroupKey { tgid, start: None }, name: Some(stat.comm) };
            (is_wanted && writes(&directory, inode)).then_some(named)
        })
    }
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

/// The descriptor of a `struct pollfd` that is polled for input.
fn wanted(pollfd: &[u8]) -> Option<u32> {
    let fd = i32::from_ne_bytes(pollfd.get(..4)?.try_into().ok()?);
    let events = i16::from_ne_bytes(pollfd.get(4..6)?.try_into().ok()?);
    (events & libc::POLLIN != 0).then(|| u32::try_from(fd).ok()).flatten()
}

/// The inode of a pipe behind a descriptor.
fn pipe(fd: &Path) -> Option<u64> {
    let target = fs::read_link(fd).ok()?;
    target.to_str()?.strip_prefix("pipe:[")?.strip_suffix("]")?.parse().ok()
}

fn writes(process: &Path, inode: u64) -> bool {
    let Ok(entries) = super::list(&process.join("fd")) else { return false };
    entries.take(MOST_DESCRIPTORS).flatten().any(|entry| {
        pipe(&entry.path()) == Some(inode) && is_writable(&process.join("fdinfo").join(entry.file_name()))
    })
}

/// Whether a descriptor is open for writing, by the octal flags of open(2).
fn is_writable(fdinfo: &Path) -> bool {
    let Ok(info) = read_up_to(fdinfo, FDINFO_MAX) else { return false };
    let flags = value(&info, "flags").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| matches!(flags & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR))
}
