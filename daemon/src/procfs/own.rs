//! What this process uses, by /proc/self.

use std::{fs, io};

use super::{Stat, value};
use crate::fd::spare;

/// Memory and threads of this process; `None` where /proc/self cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnUsage {
    /// `VmRSS`, in bytes.
    pub resident: Option<u64>,
    /// `VmSize`, in bytes.
    pub size: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
}

impl OwnUsage {
    /// Reads the present values.
    #[must_use]
    pub fn read() -> Self {
        spare::retry(|| fs::read("/proc/self/status"))
            .map_or_else(|_| Self::default(), |status| Self::of(&status))
    }

    fn of(status: &[u8]) -> Self {
        let number = |key| value(status, key)?.split_whitespace().next()?.parse::<u64>().ok();
        let bytes = |key| number(key)?.checked_mul(1024);
        Self { resident: bytes("VmRSS"), size: bytes("VmSize"), threads: number("Threads") }
    }
}

/// Returns the number of open descriptors of this process.
pub fn own_descriptors() -> io::Result<u64> {
    // From 6.2 on, the size of the directory is their number; before, it is 0.
    match fs::metadata("/proc/self/fd")?.len() {
        0 => listed_descriptors(),
        open => Ok(open),
    }
}

/// Counts the descriptors of this process in their directory.
fn listed_descriptors() -> io::Result<u64> {
    let listed = fs::read_dir("/proc/self/fd")?.count() as u64;
    // One of them reads the directory.
    Ok(listed.saturating_sub(1))
}

/// The start of this process, in ticks of `USER_HZ` after boot.
#[must_use]
pub fn own_start_ticks() -> Option<u64> {
    Some(Stat::parse(&fs::read("/proc/self/stat").ok()?).ok()?.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_counted_without_the_one_that_counts_them() -> io::Result<()> {
        // Other tests open and close descriptors at the same time.
        let before = 200;
        let open: Vec<_> = (0..before).map(|_| fs::File::open("/proc/self/fd")).collect::<Result<_, _>>()?;
        for counted in [own_descriptors()?, listed_descriptors()?] {
            assert!((before..2 * before).contains(&counted), "{counted} descriptors");
        }
        drop(open);
        Ok(())
    }

    #[test]
    fn a_number_of_the_status_is_found_by_its_name() {
        let usage = OwnUsage::of(b"Name:\tx\nVmSize:\t   67088 kB\nVmRSS:\t 27652 kB\nThreads:\t2\n");
        let expected = OwnUsage { resident: Some(27652 << 10), size: Some(67088 << 10), threads: Some(2) };
        assert_eq!(usage, expected);
        assert_eq!(OwnUsage::of(b"VmRSS:\tx kB"), OwnUsage::default());
    }
}
