//! An `io_uring` worker: a task of the group that the kernel made for itself.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    Entry,
    actor::{announce, spawn, wait},
    fact::{Fact, die, skip},
    proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] =
    &[("io-worker", "a request that io_uring must hand to a worker", io_worker)];

const ENTRIES: u32 = 4;
const IORING_OFF_SQ_RING: i64 = 0;
const IORING_OFF_SQES: i64 = 0x1000_0000;
const IORING_ENTER_GETEVENTS: u32 = 1;
const IORING_OP_NOP: u8 = 0;
/// The request goes to a worker at once.
const IOSQE_ASYNC: u8 = 1 << 4;
const SQE_BYTES: usize = 64;

/// `struct io_sqring_offsets` and what stands before it in `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    sq_flags: u32,
    dropped: u32,
    array: u32,
    rest: [u32; 13],
}
const _: () = assert!(size_of::<Params>() == 120, "struct io_uring_params is 120 bytes");

fn io_worker(args: &[String]) {
    let errors = Channel::new();
    let go_ahead = Channel::new();
    let user = spawn("user", || {
        let ring = match submit_one() {
            Ok(ring) => ring,
            Err(errno) => {
                errors.send(errno);
                return 0;
            }
        };
        errors.send(0);
        go_ahead.receive();
        // SAFETY: the descriptor is open and not used after this.
        unsafe { libc::close(ring) };
        32
    });
    match errors.receive() {
        0 => {}
        errno => {
            sys::wait4(user, 0).ok();
            skip("io_uring_setup", errno)
        }
    }
    proc::at("submitted", "user", user);
    let worker = proc::tasks(user).into_iter().find(|&tid| tid != user);
    match worker {
        Some(tid) => announce("worker", user, tid),
        // Before 5.12 workers are kernel threads that /proc/PID/task does not show.
        None => Fact::new("no-worker").emit(),
    }
    if args.first().is_some_and(|arg| arg == "hold") {
        crate::fact::pause("working");
    }
    go_ahead.send(0);
    wait("scenario", "user", user);
}

/// Runs one no-op through a worker; returns the ring's descriptor, or the errno of setting it up.
fn submit_one() -> Result<i32, i32> {
    let mut params = Params::default();
    // SAFETY: `params` is a complete io_uring_params.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut params) } as i32;
    if ring < 0 {
        return Err(sys::errno());
    }
    let ring_bytes = params.array as usize + params.sq_entries as usize * size_of::<u32>();
    let queue = map(ring, IORING_OFF_SQ_RING, ring_bytes);
    let entries = map(ring, IORING_OFF_SQES, params.sq_entries as usize * SQE_BYTES);
    // SAFETY: entry 0 lies in the mapping, and the kernel does not read it before the tail moves; opcode and flags are its first
    // bytes.
    unsafe {
        entries.write(IORING_OP_NOP);
        entries.add(1).write(IOSQE_ASYNC);
    }
    // SAFETY: the kernel's offsets lie in the mapping and are aligned for u32.
    #[expect(clippy::cast_ptr_alignment, reason = "the kernel aligns its ring fields")]
    unsafe {
        queue.add(params.array as usize).cast::<u32>().write(0);
        AtomicU32::from_ptr(queue.add(params.tail as usize).cast()).store(1, Ordering::Release);
    }
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: one entry is ready; no signal mask is passed.
    let done =
        unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, none, 0) };
    if done != 1 {
        die("io_uring_enter");
    }
    Ok(ring)
}

/// Creates a ring; returns its descriptor, or the errno.
pub(crate) fn set_up() -> Result<i32, i32> {
    let mut params = Params::default();
    // SAFETY: `params` is a complete io_uring_params.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut params) } as i32;
    if ring < 0 { Err(sys::errno()) } else { Ok(ring) }
}

/// Waits for a completion of a ring; none comes if nothing was submitted.
pub(crate) fn await_completion(ring: i32) {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: nothing is submitted; no signal mask is passed.
    unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, none, 0) };
}

fn map(ring: i32, offset: i64, bytes: usize) -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: this creates a new mapping at an address that the kernel chooses.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, ring, offset) };
    if address == libc::MAP_FAILED {
        die("mmap of an io_uring");
    }
    address.cast()
}
