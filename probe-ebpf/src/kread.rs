//! The only module that reads kernel memory, in two ways. [`Direct`] loads through a pointer that the verifier knows as a kernel
//! structure (arguments of btf tracepoints, fentry, fexit and iterators): this is one instruction, and a fault reads zero.
//! [`Probed`] calls `bpf_probe_read_kernel()`, which works on any address and costs a call.

use core::ptr::read_volatile;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_buf};
use probe_common::{ABSENT, COMM_LEN};

/// A way to read kernel memory.
pub trait Mem: Copy {
    /// The value at `offset` from `base`; `None` if the offset is unknown or the memory cannot be read.
    fn get<T: Copy>(base: *const u8, offset: u32) -> Option<T>;

    /// Copies a comm at `offset` from `base`; returns false if it cannot be read. It returns no `Option`, because verifiers before
    /// 6.3 refuse to copy the bytes of `None`.
    fn comm(base: *const u8, offset: u32, comm: &mut [u8; COMM_LEN]) -> bool;
}

/// Loads that the verifier checks.
#[derive(Clone, Copy)]
pub struct Direct;

/// Reads by helper.
#[derive(Clone, Copy)]
pub struct Probed;

impl Mem for Direct {
    #[inline(always)]
    fn get<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
        if offset == ABSENT {
            return None;
        }
        // SAFETY: the verifier accepts the load only if it lies within the structure that `base` points to, and makes a
        // faulting one read zero. Volatile keeps the compiler from merging or widening it.
        Some(unsafe { read_volatile(base.add(offset as usize).cast::<T>()) })
    }

    #[expect(clippy::cast_ptr_alignment, reason = "the programs read unaligned; the verifier checks")]
    #[inline(always)]
    fn comm(base: *const u8, offset: u32, comm: &mut [u8; COMM_LEN]) -> bool {
        let at = base.wrapping_add(offset as usize);
        let comm: *mut [u8; COMM_LEN] = comm;
        // SAFETY: the loads as above; `comm` was made from a unique reference just above, has room for two words, and is written
        // unaligned.
        unsafe {
            let words = (read_volatile(at.cast::<u64>()), read_volatile(at.add(8).cast::<u64>()));
            comm.cast::<u64>().write_unaligned(words.0);
            comm.cast::<u64>().add(1).write_unaligned(words.1);
        }
        true
    }
}

impl Mem for Probed {
    #[inline(always)]
    fn get<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
        if offset == ABSENT {
            return None;
        }
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) }.ok()
    }

    #[inline(always)]
    fn comm(base: *const u8, offset: u32, comm: &mut [u8; COMM_LEN]) -> bool {
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel_buf(base.wrapping_add(offset as usize), comm) }.is_ok()
    }
}

/// A pointer member; `None` for NULL too. The check is also what newer verifiers ask for before they follow an RCU pointer.
#[inline(always)]
pub fn pointer<M: Mem>(base: *const u8, offset: u32) -> Option<*const u8> {
    let pointer: *const u8 = M::get(base, offset)?;
    (!pointer.is_null()).then_some(pointer)
}
