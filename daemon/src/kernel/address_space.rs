//! Whether this process may have the address space that it needs.

use rustix::process::{Resource, getrlimit};
use thiserror::Error;

/// What the daemon takes besides the ring: code, heap, stacks of threads, the tables of a small host. Measured with `ulimit -v`: with less
/// an allocation fails somewhere, and Rust ends the process without a word of the cause.
const BESIDES_RING: u64 = 192 << 20;

/// The address space is limited too tightly.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the address space of this process is limited to {} KiB (RLIMIT_AS, ulimit -v), and {} KiB are needed with this ring: raise the \
     limit, or make the ring smaller (--ring-kib)",
    limit / 1024, needed / 1024
)]
pub struct AddressSpaceError {
    limit: u64,
    needed: u64,
}

/// Fails if `RLIMIT_AS` leaves no room for a ring of this size, which is mapped twice (`bpf_ringbuf_alloc()` in kernel/bpf/ringbuf.c).
pub(super) fn check(ring_bytes: u32) -> Result<(), AddressSpaceError> {
    fits(getrlimit(Resource::As).current, ring_bytes)
}

fn fits(limit: Option<u64>, ring_bytes: u32) -> Result<(), AddressSpaceError> {
    let needed = BESIDES_RING + 2 * u64::from(ring_bytes);
    match limit {
        Some(limit) if limit < needed => Err(AddressSpaceError { limit, needed }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_is_needed_is_named_with_both_figures() {
        assert_eq!(fits(None, 8 << 20), Ok(()));
        assert_eq!(fits(Some(1 << 40), 8 << 20), Ok(()));
        let error = fits(Some(100 << 20), 8 << 20).unwrap_err().to_string();
        assert!(error.contains("102400 KiB") && error.contains("212992 KiB"), "{error}");
    }
}
