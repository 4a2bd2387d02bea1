//! The kernel's statistics of an eBPF program: its runs, their time, and the calls that the kernel skipped.
//!
//! aya's `ProgramInfo` has the time and the runs, but not the skipped calls, so the structure is asked for here.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

/// `BPF_OBJ_GET_INFO_BY_FD`: <https://elixir.bootlin.com/linux/v6.18/source/include/uapi/linux/bpf.h>.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// Length of `struct bpf_prog_info` up to `recursion_misses`, in u32 words. The kernel fills the part that it knows and returns
/// its length.
const WORDS: usize = 54;
/// Offset of `run_time_ns`, bytes.
const RUN_TIME_NS: usize = 192;
/// Offset of `run_cnt`, bytes.
const RUN_CNT: usize = 200;
/// Offset of `recursion_misses`, bytes; Linux 5.12 and newer.
const RECURSION_MISSES: usize = 208;

/// The kernel's own figures of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// Time in the program, ns; counted only while `kernel.bpf_stats_enabled` is 1.
    pub run_time_ns: u64,
    /// Number of runs; counted only while `kernel.bpf_stats_enabled` is 1.
    pub run_count: u64,
    /// Calls that the kernel skipped because a program was already running on that CPU: their records do not exist. Unknown
    /// before Linux 5.12.
    pub missed: Option<u64>,
}

/// The second half of `union bpf_attr` for the command.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// Asks the kernel. `program` is the file descriptor of a loaded program.
pub fn read(program: impl AsFd) -> io::Result<ProgramStats> {
    let mut info = [0_u32; WORDS];
    let mut attr = InfoByFd {
        fd: program.as_fd().as_raw_fd().cast_unsigned(),
        info_len: (WORDS * size_of::<u32>()) as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: `attr` is the whole of what the command reads and writes; `info` is writable for `info_len` bytes and lives
    // until the call has returned.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut attr, size_of::<InfoByFd>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let known = attr.info_len as usize;
    let field = |at: usize| (known >= at + size_of::<u64>()).then(|| word(&info, at));
    Ok(ProgramStats {
        run_time_ns: field(RUN_TIME_NS).unwrap_or(0),
        run_count: field(RUN_CNT).unwrap_or(0),
        missed: field(RECURSION_MISSES),
    })
}

/// Returns the u64 at a byte offset, which must be a multiple of four.
fn word(info: &[u32; WORDS], at: usize) -> u64 {
    let half = |index: usize| info.get(index).copied().unwrap_or(0).to_ne_bytes();
    let (low, high) = (half(at / 4), half(at / 4 + 1));
    u64::from_ne_bytes([low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]])
}
