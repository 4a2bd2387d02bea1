//! The time namespace of this process (`time_namespaces(7)`).
//!
//! In a time namespace `CLOCK_BOOTTIME` is shifted by an offset, and from 5.11 on also the start times of /proc/PID/stat. What
//! eBPF programs read in the kernel is not shifted. Without the offset every age would be wrong by it, and no start time of /proc
//! would match a record's.

use std::{fs, io, os::linux::fs::MetadataExt as _, path::Path, sync::OnceLock};

use rustix::time::{ClockId, clock_gettime};

/// `PROC_TIME_INIT_INO`: the inode of the initial time namespace
/// (<https://elixir.bootlin.com/linux/v6.12/source/include/linux/proc_ns.h>).
const INITIAL: u64 = 0xEFFF_FFFA;

/// How far this process's boot time clock is ahead of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shift {
    Known(i64),
    /// The process is in a time namespace whose offset cannot be read; the reason.
    Unknown(String),
}

/// Read once: a process does not leave its time namespace.
fn shift() -> &'static Shift {
    static SHIFT: OnceLock<Shift> = OnceLock::new();
    SHIFT.get_or_init(|| read(Path::new("/proc/self")))
}

/// Returns `CLOCK_BOOTTIME` of this time namespace, ns.
#[must_use]
pub fn shown_boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Returns how far `CLOCK_BOOTTIME` is ahead of the kernel's own boot time, ns; 0 outside time namespaces, and if it cannot be
/// read ([`lacks`] says so).
#[must_use]
pub fn offset_ns() -> i64 {
    match shift() {
        Shift::Known(offset_ns) => *offset_ns,
        Shift::Unknown(_) => 0,
    }
}

/// Returns what an operator should know about the time namespace; `None` in the initial one.
#[must_use]
pub fn lacks() -> Option<String> {
    describe(shift())
}

fn describe(shift: &Shift) -> Option<String> {
    match shift {
        Shift::Known(0) => None,
        Shift::Known(offset_ns) => Some(format!(
            "taskscope runs in a time namespace whose boot time is {} s off the kernel's; times and ages are the kernel's",
            offset_ns / 1_000_000_000
        )),
        Shift::Unknown(why) => Some(format!(
            "taskscope runs in a time namespace whose offset cannot be read ({why}): ages are wrong by that offset; start it in the \
             initial time namespace"
        )),
    }
}

fn read(process: &Path) -> Shift {
    let inode = |name: &str| fs::metadata(process.join("ns").join(name)).map(|found| found.st_ino());
    let own = match inode("time") {
        Ok(INITIAL) => return Shift::Known(0),
        Ok(own) => own,
        // Kernels before 5.6, and those without CONFIG_TIME_NS.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Shift::Known(0),
        Err(error) => return Shift::Unknown(format!("reading /proc/self/ns/time: {error}")),
    };
    // `timens_offsets` shows the offsets of the namespace of new children, so that must be the own namespace.
    if !inode("time_for_children").is_ok_and(|children| children == own) {
        return Shift::Unknown("children of taskscope are created in another one".into());
    }
    match fs::read_to_string(process.join("timens_offsets")) {
        Ok(text) => boottime_of(&text).map_or_else(
            || Shift::Unknown("/proc/self/timens_offsets has no line `boottime`".into()),
            Shift::Known,
        ),
        Err(error) => Shift::Unknown(format!("reading /proc/self/timens_offsets: {error}")),
    }
}

/// Returns the offset of the boot time, ns. A line has the name of a clock, seconds, which may be negative, and nanoseconds.
fn boottime_of(text: &str) -> Option<i64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != "boottime" {
            return None;
        }
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanoseconds: i64 = words.next()?.parse().ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_the_boot_time_is_read_with_its_sign() {
        let text = "monotonic           0         0\nboottime        -86400 500000000\n";
        assert_eq!(boottime_of(text), Some(-86_399_500_000_000));
        assert_eq!(boottime_of("boottime       100000         0\n"), Some(100_000_000_000_000));
        for malformed in ["", "boottime", "boottime x 0", "boottime 1", "boottime 9223372036854775807 0"] {
            assert_eq!(boottime_of(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_kernel_without_time_namespaces_shifts_nothing() {
        assert_eq!(read(Path::new("/nonexistent")), Shift::Known(0));
        assert_eq!(describe(&Shift::Known(0)), None);
    }

    #[test]
    fn a_shift_is_reported_also_where_it_is_not_known() {
        assert!(describe(&Shift::Known(-7_000_000_000)).is_some_and(|text| text.contains("-7 s")));
        assert!(describe(&Shift::Unknown("EACCES".into())).is_some_and(|text| text.contains("EACCES")));
    }
}
