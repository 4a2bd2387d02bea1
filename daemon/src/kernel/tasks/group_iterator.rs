//! The kernel's task iterator over the threads of one thread group, which aya cannot ask for: it passes no parameters to
//! `BPF_LINK_CREATE`. <https://elixir.bootlin.com/linux/v6.18/source/kernel/bpf/task_iter.c>, `bpf_iter_attach_task()`.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use crate::lineage::id::Tgid;

/// `enum bpf_cmd`.
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
/// `enum bpf_attach_type`.
const BPF_TRACE_ITER: u32 = 28;

/// `union bpf_attr` for `BPF_LINK_CREATE` of an iterator.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    pad: u32,
}

/// `union bpf_iter_link_info` for tasks. `pid` is what user space calls the pid of a process.
#[repr(C)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    pad: u32,
}

/// `union bpf_attr` for `BPF_ITER_CREATE`.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

/// Returns a file that runs an iterator program over the threads of a group. Kernels before 6.1 have no such parameter: they
/// refuse it, or ignore it and go through all tasks, so the program selects the threads itself.
pub(super) fn open(program: impl AsFd, group: Tgid) -> io::Result<File> {
    let info = TaskInfo { tid: 0, pid: group.0, pid_fd: 0, pad: 0 };
    let mut create = LinkCreate {
        program: number(&program),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: (&raw const info) as u64,
        iter_info_len: size_of::<TaskInfo>() as u32,
        pad: 0,
    };
    // SAFETY: `create` is what the command reads; `info`, to which it points, lives until the call has returned.
    let link = unsafe { bpf(BPF_LINK_CREATE, &raw mut create) }?;
    let mut create = IterCreate { link: number(&link), flags: 0 };
    // SAFETY: `create` is what the command reads. The file keeps the link.
    unsafe { bpf(BPF_ITER_CREATE, &raw mut create) }.map(File::from)
}

fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd().cast_unsigned()
}

/// Calls bpf(2) with a command that returns a descriptor.
///
/// # Safety
/// `attr` is what the command reads, and what it points to is valid until the call has returned.
unsafe fn bpf<T>(command: libc::c_int, attr: *mut T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller promises.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    let fd = libc::c_int::try_from(result).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
