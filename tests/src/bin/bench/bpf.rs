//! Loads eBPF programs that do nothing, and reads the kernel's statistics of programs, by bpf(2).

pub(crate) mod code;

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

/// Commands of bpf(2).
const MAP_CREATE: i32 = 0;
const PROG_LOAD: i32 = 5;
const PROG_GET_NEXT_ID: i32 = 11;
const PROG_GET_FD_BY_ID: i32 = 13;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const RAW_TRACEPOINT_OPEN: i32 = 17;
const LINK_CREATE: i32 = 28;
const ITER_CREATE: i32 = 33;

/// Program types and the attach type of btf tracepoints.
const RAW_TRACEPOINT: u32 = 17;
const TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;
const TRACE_ITER: u32 = 28;

/// `r0 = 0; exit`.
pub(crate) const NOTHING: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

/// `union bpf_attr`: 144 bytes, zero except for the used fields.
#[repr(C, align(8))]
struct Attr([u8; 144]);

impl Attr {
    const fn new() -> Self {
        Self([0; 144])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn call(&mut self, command: i32) -> io::Result<i32> {
        // SAFETY: the length is that of the attributes; in every caller, what they point to outlives the call.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of::<Self>()) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
    }

    fn open(&mut self, command: i32) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the call has just created this descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Facts about a loaded program (`struct bpf_prog_info`).
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) run_ns: u64,
    pub(crate) runs: u64,
    /// The BTF id of the kernel function that it is attached to; 0 for other kinds, and on kernels that do not report it.
    attach_btf_id: u32,
}

fn info(fd: &OwnedFd) -> io::Result<Info> {
    let mut bytes = [0_u8; 232];
    Attr::new()
        .u32(0, fd.as_raw_fd().cast_unsigned())
        .u32(4, bytes.len() as u32)
        .u64(8, bytes.as_mut_ptr() as u64)
        .call(OBJ_GET_INFO_BY_FD)?;
    let u32_at = |at: usize| u32::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]));
    let u64_at = |at: usize| u64::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]));
    let name = bytes[64..80].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    Ok(Info { id: u32_at(4), name, run_ns: u64_at(192), runs: u64_at(200), attach_btf_id: u32_at(224) })
}

/// Returns every program that is loaded now. A program that is unloaded in the meantime is left out.
pub(crate) fn programs() -> Vec<Info> {
    let mut found = Vec::new();
    let mut id = 0;
    loop {
        let mut next = Attr::new().u32(0, id);
        if next.call(PROG_GET_NEXT_ID).is_err() {
            return found;
        }
        id = u32::from_ne_bytes(std::array::from_fn(|n| next.0[4 + n]));
        let Ok(fd) = Attr::new().u32(0, id).open(PROG_GET_FD_BY_ID) else { continue };
        found.extend(info(&fd));
    }
}

/// Creates a ring buffer.
pub(crate) fn ring(bytes: u32) -> io::Result<OwnedFd> {
    const RINGBUF: u32 = 27;
    Attr::new().u32(0, RINGBUF).u32(12, bytes).open(MAP_CREATE)
}

/// A program on a raw tracepoint.
pub(crate) struct Raw {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Raw {
    /// Loads these instructions and attaches them.
    pub(crate) fn attach(tracepoint: &std::ffi::CStr, instructions: &[u64]) -> io::Result<Self> {
        let program = load(RAW_TRACEPOINT, 0, 0, instructions)?;
        let link = Attr::new()
            .u64(0, tracepoint.as_ptr() as u64)
            .u32(8, program.as_raw_fd().cast_unsigned())
            .open(RAW_TRACEPOINT_OPEN)?;
        Ok(Self { program, _link: link })
    }
}

/// An attached program that does nothing.
pub(crate) struct Empty(Raw);

impl Empty {
    /// Attaches it to a raw tracepoint.
    pub(crate) fn raw(tracepoint: &std::ffi::CStr) -> io::Result<Self> {
        Raw::attach(tracepoint, &NOTHING).map(Self)
    }

    /// Attaches it to the same btf tracepoint as this program.
    pub(crate) fn beside(program: &Info) -> io::Result<Self> {
        let program = load(TRACING, TRACE_RAW_TP, program.attach_btf_id, &NOTHING)?;
        let link = Attr::new().u32(8, program.as_raw_fd().cast_unsigned()).open(RAW_TRACEPOINT_OPEN)?;
        Ok(Self(Raw { program, _link: link }))
    }

    /// Returns the kernel's statistics of the program so far.
    pub(crate) fn info(&self) -> io::Result<Info> {
        info(&self.0.program)
    }
}

/// Walks all tasks by an iterator of the same kind as this program, with a program that does nothing: this is the cost of the
/// kernel alone.
pub(crate) fn walk_like(program: &Info, instructions: &[u64]) -> io::Result<Duration> {
    let program = load(TRACING, TRACE_ITER, program.attach_btf_id, instructions)?;
    let link =
        Attr::new().u32(0, program.as_raw_fd().cast_unsigned()).u32(8, TRACE_ITER).open(LINK_CREATE)?;
    let walk = Attr::new().u32(0, link.as_raw_fd().cast_unsigned()).open(ITER_CREATE)?;
    let start = Instant::now();
    let (mut walk, mut buffer) = (File::from(walk), vec![0; 32 << 10]);
    while walk.read(&mut buffer)? > 0 {}
    Ok(start.elapsed())
}

fn load(kind: u32, attach: u32, btf_id: u32, instructions: &[u64]) -> io::Result<OwnedFd> {
    Attr::new()
        .u32(0, kind)
        .u32(4, instructions.len() as u32)
        .u64(8, instructions.as_ptr() as u64)
        .u64(16, c"GPL".as_ptr() as u64)
        .u32(68, attach)
        .u32(108, btf_id)
        .open(PROG_LOAD)
}
