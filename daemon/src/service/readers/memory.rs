//! Gives memory back to the kernel.

/// Returns what the allocator has and nobody uses. Where the C library is not glibc, its allocator does so by itself.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes a number, touches nothing that is in use, and locks the allocator for as long as it works.
        unsafe { libc::malloc_trim(0) };
    }
}
