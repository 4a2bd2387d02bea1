//! The least cost of observing: programs on the same tracepoints that do nothing, or send empty records of the same sizes, and a
//! reader that discards them.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::bpf::{
    self, NOTHING, Raw,
    code::{CALL, IF_ZERO, LOAD_64, MOVE, MOVE_REGISTER, instruction},
};

/// The tracepoints of a life, and the sizes of the records that taskscope sends there.
const HOOKS: [(&CStr, &[u32]); 4] = [
    (c"task_newtask", &[144]),
    (c"sched_process_exit", &[64, 192]),
    (c"sched_process_free", &[120]),
    (c"sched_switch", &[]),
];

/// The size of taskscope's ring on two CPUs.
const RING_BYTES: u32 = 8 << 20;
const PAGE: u16 = 4096;

/// The interval at which taskscope polls its ring under load.
const BATCH_DELAY: Duration = Duration::from_millis(1);

/// Attaches the programs and reads until the process is ended.
pub(crate) fn run(what: &str) -> anyhow::Result<()> {
    let ring = bpf::ring(RING_BYTES).context("making a ring")?;
    let sizes_of = |sizes: &'static [u32]| -> &'static [u32] { if what == "send" { sizes } else { &[] } };
    if !["empty", "send"].contains(&what) {
        bail!("no floor {what}");
    }
    let mut links = Vec::new();
    for (tracepoint, sizes) in HOOKS {
        let program = program(&ring, sizes_of(sizes));
        links.push(Raw::attach(tracepoint, &program).with_context(|| format!("{tracepoint:?}"))?);
    }
    let (consumed, produced) = positions(&ring).context("mapping the ring")?;
    println!("floor: ready");
    loop {
        thread::sleep(BATCH_DELAY);
        consumed.store(produced.load(Ordering::Acquire), Ordering::Release);
    }
}

/// Maps the positions of the reader and of the writers: the first page and the second.
fn positions(ring: &OwnedFd) -> io::Result<(&'static AtomicU64, &'static AtomicU64)> {
    let page = |protection: i32, offset: libc::off_t| {
        // SAFETY: this creates a new mapping of one page of a descriptor that we own.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE.into(),
                protection,
                libc::MAP_SHARED,
                ring.as_raw_fd(),
                offset,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the page is never unmapped, and begins with a position.
        Ok(unsafe { AtomicU64::from_ptr(at.cast()) })
    };
    Ok((page(libc::PROT_READ | libc::PROT_WRITE, 0)?, page(libc::PROT_READ, PAGE.into())?))
}

/// Reserves and submits a record of each size.
fn program(ring: &OwnedFd, sizes: &[u32]) -> Vec<u64> {
    /// The number in the load is the descriptor of a map.
    const MAP_FD: u8 = 1;
    const RESERVE: i32 = 131;
    const SUBMIT: i32 = 132;
    /// `BPF_RB_NO_WAKEUP`: the reader polls.
    const QUIET: i32 = 1;
    let mut code = Vec::new();
    for size in sizes {
        code.extend([
            instruction(LOAD_64, 1, MAP_FD, 0, ring.as_raw_fd()),
            instruction(0, 0, 0, 0, 0),
            instruction(MOVE, 2, 0, 0, size.cast_signed()),
            instruction(MOVE, 3, 0, 0, 0),
            instruction(CALL, 0, 0, 0, RESERVE),
            instruction(IF_ZERO, 0, 0, 3, 0),
            instruction(MOVE_REGISTER, 1, 0, 0, 0),
            instruction(MOVE, 2, 0, 0, QUIET),
            instruction(CALL, 0, 0, 0, SUBMIT),
        ]);
    }
    code.extend(NOTHING);
    code
}
