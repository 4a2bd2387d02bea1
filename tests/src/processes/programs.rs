//! BPF programs of a process: which it holds, and whether the kernel still has them.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::Path,
};

use crate::wait;

/// `BPF_PROG_GET_FD_BY_ID` of bpf(2).
const GET_FD_BY_ID: libc::c_long = 13;

/// Returns the ids of the programs of a process's descriptors, including those of its links.
#[must_use]
pub fn held_by(pid: u32) -> BTreeSet<u32> {
    values(pid, "prog_id:").into_iter().filter_map(|id| id.try_into().ok()).collect()
}

/// Returns how often the kernel skipped a program of a process because the program was already running on that CPU. Kernels that
/// preempt programs do that; the program cannot count the lost record.
#[must_use]
pub fn skipped(pid: u32) -> u64 {
    values(pid, "recursion_misses:").into_iter().sum()
}

/// Waits until a process has attached this many programs.
#[track_caller]
pub fn wait_attached(pid: u32, links: usize) {
    let what = format!("process {pid} has attached {links} programs");
    wait::until(what, || values(pid, "link_id:").len() >= links);
}

/// Programs of another process, kept in the kernel after its end because of the kernel's counts.
pub struct Kept(Vec<OwnedFd>);

/// Opens the programs of a process.
#[must_use]
pub fn keep(pid: u32) -> Kept {
    Kept(held_by(pid).into_iter().filter_map(open).collect())
}

impl Kept {
    /// Returns how often the kernel skipped one of these programs.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let path = |fd: &OwnedFd| format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        self.0.iter().filter_map(|fd| value(path(fd).as_ref(), "recursion_misses:")).sum()
    }
}

/// Returns a number from the fdinfo of each of a process's descriptors that has it.
fn values(pid: u32, key: &str) -> Vec<u64> {
    let directory = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("reading {directory}: {error}"));
    entries.filter_map(|entry| value(&entry.ok()?.path(), key)).collect()
}

fn value(fdinfo: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(fdinfo).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Waits until the kernel has freed all of these programs, which takes a moment after their last use.
#[track_caller]
pub fn assert_gone(ids: &BTreeSet<u32>) {
    wait::until_ok(|| {
        let left: Vec<&u32> = ids.iter().filter(|id| exists(**id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("the kernel still has these programs: {left:?}")) }
    });
}

fn exists(id: u32) -> bool {
    open(id).is_some()
}

fn open(id: u32) -> Option<OwnedFd> {
    // `union bpf_attr`: the id is its first field, the rest must be zero.
    let mut attributes = [0_u32; 16];
    attributes[0] = id;
    // SAFETY: the length is that of the attributes, which are only read.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, GET_FD_BY_ID, attributes.as_ptr(), size_of_val(&attributes)) };
    if let Ok(fd) = RawFd::try_from(fd)
        && fd >= 0
    {
        // SAFETY: the call has just created this descriptor, and nothing else owns it.
        return Some(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let error = io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "asking for program {id}: {error}");
    None
}
