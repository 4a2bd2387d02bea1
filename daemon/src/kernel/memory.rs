//! Huge pages for large tables, and memory that is returned to the kernel.

/// Size of the smallest page, bytes. On an architecture with larger pages the kernel refuses the unaligned range, which does no
/// harm.
const PAGE: usize = 4096;

/// Asks the kernel to use huge pages for a range of memory. This is a hint: whether the kernel follows it depends on its
/// settings. `rustix::mm::madvise` is `unsafe` as well: no crate makes this call safe.
pub fn prefer_huge_pages(address: usize, bytes: usize) {
    let begin = address - address % PAGE;
    let length = (address + bytes).next_multiple_of(PAGE) - begin;
    // SAFETY: this advice changes neither what memory holds nor whether it is mapped, at whatever address.
    let result =
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(begin), length, libc::MADV_HUGEPAGE) };
    if result != 0 {
        log::debug!("no huge pages for {bytes} bytes: {}", std::io::Error::last_os_error());
    }
}

/// Returns free memory to the kernel; without this the allocator keeps free pieces between pieces in use.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) releases only pages that contain no allocated memory, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_changes_no_memory() {
        let memory = vec![7_u8; 5 << 20];
        prefer_huge_pages(memory.as_ptr().addr(), memory.len());
        assert!(memory.iter().all(|&byte| byte == 7));
    }
}
