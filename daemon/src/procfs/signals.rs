//! What a process does with a signal, and the host's memory.

use super::{Procfs, read, value};
use crate::lineage::{death::HostMemory, id::Tgid, record::Disposition};

impl Procfs {
    /// Returns the present disposition of this signal, from the leader's masks in `/proc/PID/status`; `None` if they cannot be
    /// read.
    #[must_use]
    pub fn disposition(&self, tgid: Tgid, signal: i32) -> Option<Disposition> {
        let bit = u32::try_from(signal).ok()?.checked_sub(1).filter(|bit| *bit < u64::BITS)?;
        let status = read(&self.root.join(format!("{tgid}/status"))).ok()?;
        let has = |key: &str| {
            let mask = u64::from_str_radix(value(&status, key)?, 16).ok()?;
            Some(mask >> bit & 1 != 0)
        };
        // An ignored signal does not become pending, blocked or not.
        Some(if has("SigIgn")? {
            Disposition::Ignored
        } else if has("SigBlk")? {
            Disposition::Blocked
        } else if has("SigCgt")? {
            Disposition::Caught
        } else {
            Disposition::Default
        })
    }

    /// Returns the host's memory, from `/proc/meminfo`.
    #[must_use]
    pub fn memory(&self) -> Option<HostMemory> {
        let text = read(&self.root.join("meminfo")).ok()?;
        let bytes = |key: &str| -> Option<u64> {
            value(&text, key)?.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(HostMemory {
            total_bytes: bytes("MemTotal")?,
            swap_bytes: bytes("SwapTotal")?,
            swap_free_bytes: bytes("SwapFree")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn masks_say_what_becomes_of_a_signal() {
        let root = std::env::temp_dir().join(format!("taskscope-masks-{}", std::process::id()));
        fs::create_dir_all(root.join("7")).unwrap();
        // SIGHUP is ignored, SIGINT blocked, SIGTERM caught.
        let status = "SigBlk:\t0000000000000003\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000004000\n";
        fs::write(root.join("7/status"), status).unwrap();
        let procfs = Procfs::at(&root);
        for (signal, wanted) in [
            (1, Some(Disposition::Ignored)),
            (2, Some(Disposition::Blocked)),
            (15, Some(Disposition::Caught)),
            (3, Some(Disposition::Default)),
            (0, None),
            (65, None),
        ] {
            assert_eq!(procfs.disposition(Tgid(7), signal), wanted, "{signal}");
        }
        assert_eq!(procfs.disposition(Tgid(8), 15), None);
        fs::remove_dir_all(root).unwrap();
        assert!(Procfs::default().memory().unwrap().total_bytes > 1 << 20);
    }
}
