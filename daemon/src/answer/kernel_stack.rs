//! What a task in uninterruptible sleep waits for, by the functions in its kernel stack.

use super::now::Does;
use crate::verdict::facts::Sleep;

/// Functions in a kernel stack, what the task waits for then, and what to do. The first row whose functions are all in the stack
/// applies.
const REASONS: &[(&[&str], &str, &str)] = &[
    (
        &["coredump"],
        "the end of its core dump",
        "check the program or disk that receives core dumps (core_pattern)",
    ),
    (
        &["percpu_rwsem_wait"],
        "a frozen file system, or a lock that every CPU shares",
        "thaw it: fsfreeze -u MOUNTPOINT",
    ),
    (
        &["percpu_down_read"],
        "a frozen file system, or a lock that every CPU shares",
        "thaw it: fsfreeze -u MOUNTPOINT",
    ),
    (&["fuse_"], "a FUSE daemon", "check the daemon that serves the mount"),
    (&["nfs"], "an NFS server", "check the server and the network to it"),
    (&["rpc_"], "an RPC server", "check the server and the network to it"),
    (&["cifs"], "an SMB server", "check the server and the network to it"),
    (&["smb2"], "an SMB server", "check the server and the network to it"),
    (&["p9_"], "a 9p server", "check the server of the mount"),
    (&["io_schedule"], "storage", "check the disk below the file system (dmesg, iostat)"),
    (&["folio_wait"], "storage", "check the disk below the file system (dmesg, iostat)"),
    (&["blk_"], "storage", "check the disk (dmesg, iostat)"),
    (&["jbd2"], "a journal of ext4", "check the disk below the file system (dmesg, iostat)"),
    (
        &["mutex_lock"],
        "a lock that another task holds",
        "check the other blocked tasks: one of them may hold it",
    ),
    (
        &["rwsem_down"],
        "a lock that another task holds",
        "check the other blocked tasks: one of them may hold it",
    ),
    (&["synchronize_rcu"], "a quiescent state of every CPU", "look for a CPU that does not schedule (dmesg)"),
];

/// Returns what a task with this kernel stack waits for, and what to do.
pub(super) fn by_stack(stack: &[impl AsRef<str>]) -> Option<(&'static str, &'static str)> {
    let has = |function: &&str| stack.iter().any(|frame| frame.as_ref().contains(*function));
    let row = REASONS.iter().find(|(functions, ..)| functions.iter().all(&has));
    row.map(|&(_, words, remedy)| (words, remedy))
}

/// Returns the kind of an uninterruptible sleep, and what it waits for as far as the kernel stack shows.
pub(super) fn sleep_of(does: &Does) -> Sleep {
    let why = by_stack(&does.kernel_stack);
    Sleep {
        is_killable: does.doing == "killable",
        at_least_ns: does.asleep_at_least_ns,
        waits_for: why.map(|(words, _)| words.into()),
        remedy: why.map(|(_, remedy)| remedy.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_waits_for_is_reported_by_its_kernel_stack() {
        let of = |stack: &[&str]| by_stack(stack).map(|(words, _)| words);
        assert!(
            of(&["percpu_rwsem_wait+0x1/0x2", "mnt_want_write+0x1/0x2"])
                .is_some_and(|it| it.contains("frozen"))
        );
        assert!(of(&["io_schedule+0x1/0x2", "nfs_wait_bit+0x1/0x2"]).is_some_and(|it| it.contains("NFS")));
        assert_eq!(of(&["msleep+0x1/0x2"]), None);
        assert_eq!(of(&[]), None);
    }
}
