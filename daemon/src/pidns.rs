//! Checks that this process and its /proc are in the initial pid namespace (`pid_namespaces(7)`).
//!
//! The kernel's records name tasks by their pids in the initial pid namespace. In another one, such as a container without
//! `hostPID`, the same numbers in /proc are other processes: every answer that uses /proc would be about the wrong process.

use std::{fs, io, os::linux::fs::MetadataExt as _, path::Path};

use thiserror::Error;

/// `PROC_PID_INIT_INO`: the inode of the initial pid namespace
/// (<https://elixir.bootlin.com/linux/v6.12/source/include/linux/proc_ns.h>).
pub const INITIAL_INODE: u64 = 0xEFFF_FFFC;

/// Why tasks cannot be identified from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PidNamespaceError {
    /// This process is in a pid namespace of its own.
    #[error(
        "taskscope runs in a pid namespace that is not the initial one, so /proc shows it other pids than the kernel: run it with \
         --pid=host (docker, podman) or hostPID: true (Kubernetes)"
    )]
    Own,
    /// /proc was mounted in another pid namespace.
    #[error(
        "/proc is of a pid namespace that taskscope is not in: mount the host's /proc (-v /proc:/proc with --pid=host, or \
         hostPID: true in Kubernetes)"
    )]
    Proc,
}

/// Returns an error unless this process and /proc are in the initial pid namespace. A missing /proc is no error: facts that only
/// /proc has stay unknown then.
pub fn check() -> Result<(), PidNamespaceError> {
    check_at(Path::new("/proc"), std::process::id())
}

fn check_at(proc: &Path, pid: u32) -> Result<(), PidNamespaceError> {
    match fs::metadata(proc.join("self/ns/pid")) {
        Ok(namespace) if namespace.st_ino() != INITIAL_INODE => return Err(PidNamespaceError::Own),
        // `proc_self_get_link()` fails with ENOENT for a task that has no pid in the namespace of this mount.
        Err(error) if error.kind() == io::ErrorKind::NotFound && proc.join("stat").exists() => {
            return Err(PidNamespaceError::Proc);
        }
        // If the link cannot be read, a sandbox or a security module forbids it. That says nothing about the namespace.
        Ok(_) | Err(_) => {}
    }
    // The number in the mount's namespace and the caller's own must be the same.
    let shown = fs::read_link(proc.join("self")).ok().and_then(|link| link.to_str()?.parse::<u32>().ok());
    if shown.is_some_and(|shown| shown != pid) { Err(PidNamespaceError::Proc) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("taskscope-pidns-{}-{name}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn a_proc_that_does_not_know_its_reader_is_refused() {
        let root = root("foreign");
        assert_eq!(check_at(&root, 7), Ok(()), "no procfs at all is another matter");
        fs::write(root.join("stat"), "cpu 1\n").unwrap();
        assert_eq!(check_at(&root, 7), Err(PidNamespaceError::Proc));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_namespace_with_another_inode_is_refused() {
        let root = root("own");
        fs::create_dir_all(root.join("7/ns")).unwrap();
        fs::write(root.join("7/ns/pid"), "").unwrap();
        symlink("7", root.join("self")).unwrap();
        assert_eq!(check_at(&root, 7), Err(PidNamespaceError::Own));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn each_refusal_names_the_remedy() {
        for error in [PidNamespaceError::Own, PidNamespaceError::Proc] {
            let text = error.to_string();
            assert!(text.contains("--pid=host") && text.contains("hostPID: true"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
