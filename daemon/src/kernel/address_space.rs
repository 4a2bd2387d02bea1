//! Checks that the limit on the address space of this process (`RLIMIT_AS`) is large enough.

use rustix::process::{Resource, getrlimit};
use thiserror::Error;

/// Address space that the daemon takes after the check, besides the ring: tables of tasks, the kernel's types while they are
/// read, thread stacks, events and ended processes that are kept. Measured with `ulimit -v`: 66 MiB in a guest of 6.12 after
/// 9,000 processes with a stalled reader of events; natively on 6.18 threads could be created with 85 MiB but not with 79. With
/// less, an allocation fails and Rust aborts the process without naming the cause.
const HEADROOM: u64 = 92 << 20;

/// Address space for what the default settings can keep in addition: texts of events for readers, and the events and ended
/// processes of a larger storm.
const FOR_THE_PAST: u64 = 48 << 20;

/// What is reported to be needed beyond the measure: address space layout randomization and the allocator's arenas change it by some
/// 100 KiB from start to start, and the next start must have enough.
const SLACK: u64 = 1 << 20;

/// The address space is limited too tightly.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the address space of this process is limited to {} KiB (RLIMIT_AS, ulimit -v), and {} KiB are needed with this ring: raise the \
     limit, or make the ring smaller (--ring-kib)",
    limit / 1024, needed.div_ceil(1024)
)]
pub struct AddressSpaceError {
    limit: u64,
    needed: u64,
}

/// Returns an error if `RLIMIT_AS` leaves no room for a ring of this size and for [`HEADROOM`].
pub(super) fn check(ring_bytes: u32) -> Result<(), AddressSpaceError> {
    let (limit, used) = (getrlimit(Resource::As).current, used().unwrap_or(0));
    fits(limit, used, ring_bytes)?;
    if let Some(limit) = limit
        && let Err(AddressSpaceError { needed, .. }) =
            fits(Some(limit), used.saturating_add(FOR_THE_PAST), ring_bytes)
    {
        log::warn!(
            "the address space of this process is limited to {} KiB (RLIMIT_AS, ulimit -v): under high load the kept events and \
             lives may not fit, and taskscope then ends; {} KiB are enough",
            limit / 1024,
            needed.div_ceil(1024)
        );
    }
    Ok(())
}

/// Returns the size of this process's address space now, bytes; `None` where /proc does not show it.
fn used() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let size = text.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = size.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

fn fits(limit: Option<u64>, used: u64, ring_bytes: u32) -> Result<(), AddressSpaceError> {
    let needed = used.saturating_add(HEADROOM).saturating_add(u64::from(ring_bytes));
    match limit {
        Some(limit) if limit < needed => {
            Err(AddressSpaceError { limit, needed: needed.saturating_add(SLACK) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_is_needed_is_named_with_both_figures() {
        const USED: u64 = 20 << 20;
        const NEEDED: u64 = USED + HEADROOM + (8 << 20);
        assert_eq!(fits(None, USED, 8 << 20), Ok(()));
        assert_eq!(fits(Some(NEEDED), USED, 8 << 20), Ok(()));
        let error = fits(Some(NEEDED - 4096), USED, 8 << 20).unwrap_err().to_string();
        let (limit, needed) = ((NEEDED - 4096) / 1024, (NEEDED + SLACK) / 1024);
        assert!(
            error.contains(&format!("{limit} KiB")) && error.contains(&format!("{needed} KiB")),
            "{error}"
        );
    }

    #[test]
    fn this_process_uses_some_address_space() {
        assert!(used().is_some_and(|bytes| bytes > 1 << 20));
    }
}
