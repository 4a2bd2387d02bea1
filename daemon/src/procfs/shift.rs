//! The offset of /proc's start times from the kernel's own, in a time namespace.

use std::{sync::OnceLock, thread};

use super::{NS_PER_TICK, Procfs};
use crate::timens;

/// Kernels before 5.11 shift `CLOCK_BOOTTIME`, but not the start times of /proc/PID/stat.
pub(super) fn shift_ns() -> i64 {
    static SHIFT: OnceLock<i64> = OnceLock::new();
    *SHIFT.get_or_init(|| match timens::offset_ns() {
        0 => 0,
        offset_ns if are_starts_shifted(offset_ns) => offset_ns,
        _ => 0,
    })
}

/// Returns whether /proc shifts start times, by the start time of a new thread. If no thread can be created, they are assumed to be
/// shifted, as on newer kernels.
fn are_starts_shifted(offset_ns: i64) -> bool {
    let begun = || Procfs::at("/proc".as_ref()).read_stat("thread-self/stat").ok().flatten();
    let Ok(thread) = thread::Builder::new().spawn(begun) else { return true };
    let Ok(Some(stat)) = thread.join() else { return true };
    is_nearer(stat.start_ticks.saturating_mul(NS_PER_TICK), timens::shown_boottime_ns(), offset_ns)
}

/// Returns whether a start is nearer to the shifted time, `now`, than to the kernel's.
const fn is_nearer(start: u64, now: u64, offset_ns: i64) -> bool {
    start.abs_diff(now) < start.abs_diff(now.saturating_add_signed(offset_ns.saturating_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_shifted_where_they_are_nearer_to_the_shifted_time() {
        const S: u64 = 1_000_000_000;
        for offset_ns in [100_000 * S.cast_signed(), -(20 * S.cast_signed())] {
            let now = (60 * S).saturating_add_signed(offset_ns);
            assert!(is_nearer(now - S, now, offset_ns));
            assert!(!is_nearer(59 * S, now, offset_ns));
        }
    }
}
