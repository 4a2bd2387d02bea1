//! The capabilities of this process, read before the kernel refuses something, so that the error can name what is missing.

use std::fs;

/// A capability that observing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name, as capabilities(7) has it.
    pub name: &'static str,
    bit: u32,
    /// What it is needed for.
    pub reason: &'static str,
}

/// The capabilities that loading and attaching needs since Linux 5.8. `CAP_SYS_ADMIN` includes both.
pub const NEEDED: [Capability; 2] = [
    Capability { name: "CAP_BPF", bit: 39, reason: "to load eBPF programs and make their maps" },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        reason: "to attach them to kernel functions and read kernel memory",
    },
];

const CAP_SYS_ADMIN: u32 = 21;

/// Returns the needed capabilities that this process does not have.
///
/// An unreadable /proc counts as "has everything": the kernel then says what it refuses.
#[must_use]
pub fn missing() -> Vec<Capability> {
    fs::read_to_string("/proc/self/status").map_or_else(|_| Vec::new(), |status| missing_in(&status))
}

fn missing_in(status: &str) -> Vec<Capability> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    if effective & (1 << CAP_SYS_ADMIN) != 0 {
        return Vec::new();
    }
    NEEDED.into_iter().filter(|capability| effective & (1 << capability.bit) == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(status: &str) -> Vec<&'static str> {
        missing_in(status).into_iter().map(|c| c.name).collect()
    }

    #[test]
    fn a_process_without_capabilities_lacks_both() {
        assert_eq!(names("Name:\tx\nCapEff:\t0000000000000000\n"), ["CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn root_lacks_nothing() {
        assert!(names("CapEff:\t000001ffffffffff\n").is_empty());
    }

    #[test]
    fn sys_admin_includes_the_others() {
        assert!(names("CapEff:\t0000000000200000\n").is_empty());
    }

    #[test]
    fn bpf_alone_lacks_perfmon() {
        assert_eq!(names("CapEff:\t0000008000000000\n"), ["CAP_PERFMON"]);
    }
}
