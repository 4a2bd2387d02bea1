//! Finds the process that holds the other end of a pipe that a process waits for, or a file lock that it waits for.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use super::{
    Procfs,
    open_pipes::{Process, pipe},
};
use crate::{
    lineage::id::{GroupKey, Tgid},
    verdict::facts::{Call, HeldCall, HeldOn, Named, PipeRead, ProcessFacts, ThreadFacts},
};

/// The most descriptors of one poll(2) that are read.
const MOST_POLLED: u32 = 16;

/// Bytes of `struct pollfd`, whose first field is the descriptor and whose second has the events that are wanted.
const POLLFD_BYTES: usize = 8;

/// Kernel functions in which open(2) waits for the other end of a FIFO.
const FIFO_WAITS: [&str; 2] = ["wait_for_partner", "fifo_open"];

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
                let link = directory.join("fd").join(fd.to_string());
                if is_socket(&link) {
                    return Some(HeldCall { tid: thread.tid, on: HeldOn::Socket(fd), by: None });
                }
                let inode = pipe(&link)?;
                let by = self.holder(inode, libc::O_RDONLY, |process| process.tgid != of.tgid);
                Some(HeldCall { tid: thread.tid, on: HeldOn::Pipe(fd), by })
            }
            Call::Open if thread.wchan.as_deref().is_some_and(|place| FIFO_WAITS.contains(&place)) => {
                Some(HeldCall { tid: thread.tid, on: HeldOn::Fifo, by: None })
            }
            Call::Lock(fd) => {
                let stat = self.lock_holder(of.tgid).and_then(|pid| Some((pid, self.stat(Tgid(pid)).ok()??)));
                let by = stat.map(|(pid, stat)| Named {
                    key: GroupKey { tgid: Tgid(pid), start: None },
                    name: Some(stat.comm),
                });
                Some(HeldCall { tid: thread.tid, on: HeldOn::Lock(fd), by })
            }
            _ => None,
        })
    }

    /// Returns a process that has a pipe open for writing and began after the reader, which began at `began`.
    fn writer(&self, inode: u64, reader: Tgid, began: u64, may_be_child: bool) -> Option<Named> {
        self.holder(inode, libc::O_WRONLY, |Process { tgid, stat, .. }| {
            // The process that forked the reader may have begun in the same tick; it has the lower pid.
            let is_younger = (stat.start_ticks, *tgid) > (began, reader);
            is_younger && (may_be_child || stat.ppid != reader.0)
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

/// Returns the descriptor of a `struct pollfd` if it is polled for input.
fn wanted(pollfd: &[u8]) -> Option<u32> {
    let fd = i32::from_ne_bytes(pollfd.get(..4)?.try_into().ok()?);
    let events = i16::from_ne_bytes(pollfd.get(4..6)?.try_into().ok()?);
    (events & libc::POLLIN != 0).then(|| u32::try_from(fd).ok()).flatten()
}

fn is_socket(fd: &Path) -> bool {
    fs::read_link(fd).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:["))
}
