//! Maps of the programs in this process's memory: reading them takes no system call.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

/// Memory that the programs may change at any time.
#[derive(Debug)]
pub(in crate::kernel) struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory belongs to this value and is not bound to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes of a map for reading and writing.
    pub(in crate::kernel) fn writable(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(bytes, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
    }

    /// Maps `bytes` bytes of a map from `offset` on for reading.
    pub(in crate::kernel) fn readable(map: BorrowedFd<'_>, offset: usize, bytes: usize) -> io::Result<Self> {
        Self::new(bytes, libc::PROT_READ, libc::MAP_SHARED, map.as_raw_fd(), offset)
    }

    /// Memory of this process alone, all zero.
    #[cfg(test)]
    pub(in crate::kernel) fn private(bytes: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::new(bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).unwrap()
    }

    fn new(bytes: usize, protection: i32, flags: i32, file: i32, offset: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory in use.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file, offset) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { address, bytes })
    }

    /// The memory as numbers. Writing to a read-only mapping ends this process with SIGSEGV.
    pub(in crate::kernel) const fn words(&self) -> &[AtomicU64] {
        let count = self.bytes / size_of::<AtomicU64>();
        // SAFETY: a mapping begins at a page boundary, contains `count` aligned words and lives as long as `self`. It is never
        // longer than the eBPF map behind it: the kernel refuses to map more than the map has.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), count) }
    }

    /// Bytes of the memory, which may be changing.
    pub(in crate::kernel) const fn start(&self) -> *const u8 {
        self.address.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this very range was mapped by `new`, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
    }
}
