//! Memory in huge pages, where there is much of it; and given back, where there is too little.

/// Size of the smallest page; on an architecture with larger ones the kernel refuses the range, and nothing is lost.
const PAGE: usize = 4096;

/// Asks the kernel to use huge pages for a piece of memory. Only a wish: whether it comes true depends on its settings, and nothing
/// else does. `rustix::mm::madvise` is `unsafe` as well: no crate makes this call safe.
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

/// Gives memory that came free back to the kernel: the allocator keeps what lies between pieces in use, for later.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) gives back only pages that no piece of memory in use lies on, and may be called at any time.
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
