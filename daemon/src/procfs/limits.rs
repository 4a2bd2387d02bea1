//! Limits on the forks of one process, from /proc.

use std::{fs, io};

use super::{Procfs, read, value};
use crate::lineage::id::Tgid;

/// `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE`: a process that has one in the initial user namespace is exempt from `RLIMIT_NPROC`.
const EXEMPTING: u64 = 1 << 21 | 1 << 24;

/// The pid namespace of a process's next child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextNamespace {
    /// The namespace with this inode.
    Inode(u32),
    /// A namespace that does not have an init yet: the next child becomes its init.
    Unborn,
    /// Reading is not permitted (`PTRACE_MODE_READ`).
    Hidden,
    /// The process does not exist, or is hidden.
    Unknown,
}

impl Procfs {
    /// Returns the soft `RLIMIT_NPROC` of a process; `None` for `unlimited`, and if it cannot be read.
    #[must_use]
    pub fn nproc_limit(&self, tgid: Tgid) -> Option<u64> {
        let text = read(&self.root.join(format!("{tgid}/limits"))).ok()?;
        let text = String::from_utf8(text).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("Max processes")?.split_whitespace().next()?.parse().ok())
    }

    /// Reads a number below `/proc/sys/kernel`.
    #[must_use]
    pub fn kernel_number(&self, name: &str) -> Option<u64> {
        String::from_utf8(read(&self.root.join("sys/kernel").join(name)).ok()?).ok()?.trim().parse().ok()
    }

    /// Returns whether the kernel applies `RLIMIT_NPROC` to a process (`copy_process()`). Root of the initial user namespace is
    /// exempt, and so are processes with `CAP_SYS_RESOURCE` or `CAP_SYS_ADMIN` in it.
    #[must_use]
    pub fn is_held_to_nproc(&self, tgid: Tgid, uid: u32) -> bool {
        let capable = || {
            let status = read(&self.root.join(format!("{tgid}/status"))).ok()?;
            u64::from_str_radix(value(&status, "CapEff")?, 16).ok()
        };
        uid != 0
            && (self.has_own_users(tgid)
                || capable().is_none_or(|capabilities| capabilities & EXEMPTING == 0))
    }

    /// Returns a process's real uid now. No record reports setuid(2).
    #[must_use]
    pub fn real_uid(&self, tgid: Tgid) -> Option<u32> {
        let status = read(&self.root.join(format!("{tgid}/status"))).ok()?;
        value(&status, "Uid")?.split_whitespace().next()?.parse().ok()
    }

    /// Returns whether a process is in another user namespace, where the kernel counts its tasks separately (since 5.14).
    #[must_use]
    pub fn has_own_users(&self, tgid: Tgid) -> bool {
        let map = read(&self.root.join(format!("{tgid}/uid_map"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&map);
        let numbers: Vec<&str> = text.split_whitespace().collect();
        !numbers.is_empty() && numbers != ["0", "0", "4294967295"]
    }

    /// Returns the pid namespace of its next child.
    #[must_use]
    pub fn next_namespace(&self, tgid: Tgid) -> NextNamespace {
        let link = self.root.join(format!("{tgid}/ns/pid_for_children"));
        match fs::read_link(link) {
            Ok(name) => inode(&name.to_string_lossy()).map_or(NextNamespace::Unknown, NextNamespace::Inode),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => NextNamespace::Hidden,
            // `pidns_for_children_get()` returns none before the namespace has an init.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && matches!(self.stat(tgid), Ok(Some(_))) =>
            {
                NextNamespace::Unborn
            }
            Err(_) => NextNamespace::Unknown,
        }
    }
}

/// `pid:[4026531836]`
fn inode(name: &str) -> Option<u32> {
    name.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::*;

    #[test]
    fn the_limits_of_this_process_are_its_own() {
        let (procfs, me) = (Procfs::default(), Tgid(std::process::id()));
        assert_eq!(procfs.nproc_limit(me), getrlimit(Resource::Nproc).current);
        assert!(!procfs.is_held_to_nproc(me, 0), "root is not");
        let own = fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(Some(procfs.next_namespace(me)), inode(&own.to_string_lossy()).map(NextNamespace::Inode));
        assert_eq!(procfs.next_namespace(Tgid(4_194_303)), NextNamespace::Unknown);
    }

    #[test]
    fn unlimited_and_garbage_are_no_numbers() {
        let root = std::env::temp_dir().join(format!("taskscope-nproc-{}", std::process::id()));
        fs::create_dir_all(root.join("7")).unwrap();
        let procfs = Procfs::at(&root);
        for (text, limit) in [
            ("Max processes             30                   60                   processes \n", Some(30)),
            ("Max processes             unlimited            unlimited            processes \n", None),
            ("Max processes", None),
            ("", None),
        ] {
            fs::write(root.join("7/limits"), text).unwrap();
            assert_eq!(procfs.nproc_limit(Tgid(7)), limit, "{text}");
        }
        fs::write(root.join("7/status"), "CapEff:\t0000000001000000\n").unwrap();
        assert!(!procfs.is_held_to_nproc(Tgid(7), 1000));
        fs::write(root.join("7/uid_map"), "         0       1000          1\n").unwrap();
        assert!(
            procfs.is_held_to_nproc(Tgid(7), 1000),
            "capabilities of another user namespace are worth nothing"
        );
        fs::remove_dir_all(root).unwrap();
    }
}
