//! Huge pages for large tables, and memory that is returned to the kernel.

use rustix::param::page_size;

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

/// Unmaps the pages of a constant that only the start needs, so that they do not count as resident memory. Reading it maps them again.
pub fn unmap_constant(constant: &'static [u8]) {
    let begin = constant.as_ptr().addr().next_multiple_of(page_size());
    let end = constant.as_ptr_range().end.addr() / page_size() * page_size();
    let Some(length) = end.checked_sub(begin).filter(|length| *length > 0) else { return };
    // SAFETY: these pages contain only the constant. They are of the program's file, and nothing writes to them, so that the kernel
    // reads the same bytes again.
    let result =
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(begin), length, libc::MADV_DONTNEED) };
    if result != 0 {
        log::debug!("{length} bytes stay mapped: {}", std::io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_that_was_unmapped_is_read_again() {
        static CONSTANT: [u8; 1 << 16] = [7; 1 << 16];
        assert!(CONSTANT.iter().all(|&byte| byte == 7));
        unmap_constant(&CONSTANT);
        assert!(CONSTANT.iter().all(|&byte| byte == 7));
        unmap_constant(&CONSTANT[..10]);
    }

    #[test]
    fn advice_changes_no_memory() {
        let memory = vec![7_u8; 5 << 20];
        prefer_huge_pages(memory.as_ptr().addr(), memory.len());
        assert!(memory.iter().all(|&byte| byte == 7));
    }
}
