//! The eBPF programs that are loaded in the kernel.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::Context as _;

/// Commands of bpf(2): <https://docs.kernel.org/userspace-api/ebpf/syscall.html>
const PROG_GET_NEXT_ID: libc::c_int = 11;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// Program types that observe: kprobe, tracepoint, raw tracepoint, tracing. systemd's own programs are for cgroups.
const OBSERVING: [u32; 4] = [2, 5, 17, 26];

/// Returns the number of loaded programs that observe.
pub(crate) fn observing() -> anyhow::Result<usize> {
    let mut count = 0;
    let mut id = 0;
    while let Some(next) = next(id).context("listing eBPF programs")? {
        id = next;
        // The program may have been unloaded since.
        if kind(id).is_ok_and(|kind| OBSERVING.contains(&kind)) {
            count += 1;
        }
    }
    Ok(count)
}

fn next(id: u32) -> io::Result<Option<u32>> {
    let mut attr = [id, 0, 0, 0];
    match bpf(PROG_GET_NEXT_ID, &mut attr) {
        Ok(_) => Ok(Some(attr[1])),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn kind(id: u32) -> io::Result<u32> {
    let fd = bpf(PROG_GET_FD_BY_ID, &mut [id, 0, 0, 0])?;
    // SAFETY: the call has just created this descriptor, and nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // struct bpf_prog_info begins with type and id.
    let mut info = [0_u32; 2];
    let place = info.as_mut_ptr() as u64;
    let fd = fd.as_raw_fd().cast_unsigned();
    bpf(OBJ_GET_INFO_BY_FD, &mut [fd, size_of_val(&info) as u32, place as u32, (place >> 32) as u32])?;
    Ok(info[0])
}

fn bpf(command: libc::c_int, attr: &mut [u32; 4]) -> io::Result<libc::c_int> {
    // SAFETY: the attributes of the three commands are at most 16 bytes, and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
