//! The two clocks of an event: the kernel's boottime, and the wall clock computed from it; the boot id and the kernel.

use std::{
    fs, io,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{lineage::id::Ktime, timens};

/// The kernel's boot time now: the clock of every record. `CLOCK_BOOTTIME`, less the offset of a time namespace.
#[must_use]
pub fn boottime() -> Ktime {
    Ktime(timens::shown_boottime_ns().saturating_add_signed(timens::offset_ns().saturating_neg()))
}

/// CPU time of this thread so far, ns.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    cpu_ns(ClockId::ThreadCPUTime)
}

/// CPU time of this process so far, all its threads and those that have ended, ns.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    cpu_ns(ClockId::ProcessCPUTime)
}

fn cpu_ns(clock: ClockId) -> u64 {
    let used = clock_gettime(clock);
    used.tv_sec.unsigned_abs() * 1_000_000_000 + used.tv_nsec.unsigned_abs()
}

/// Nanoseconds to add to a boottime to get the wall clock (ns since the epoch), as it is now.
///
/// The caller measures again from time to time, because the wall clock can be set. One measurement reads one clock between two
/// readings of the other, and is off by at most the time between those two. Of five measurements, the one with the shortest such
/// time is used.
#[must_use]
pub fn wall_offset_ns() -> i128 {
    let mut best = (u64::MAX, 0);
    for _ in 0..5 {
        let before = boottime();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos().cast_signed());
        let after = boottime();
        let distance = after.since(before);
        if distance < best.0 {
            best = (distance, wall - i128::from(before.0 + distance / 2));
        }
    }
    best.1
}

/// Returns the id of this boot (random(4)).
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
}

/// Returns the kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/osrelease")
}
