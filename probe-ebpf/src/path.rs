//! The path of an open file, from its dentry up to the root across mounts, as `/proc/PID/exe` shows it.
//!
//! `bpf_d_path()` is not open to tracepoint programs, so the names are walked here: leaf first, each with its NUL. The daemon
//! reverses them.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use probe_common::PATH_LEN;

use crate::{
    globals::offset,
    kread::{Mem, Probed, pointer},
};

/// Steps of the walk: names and mount points together.
const MAX_STEPS: usize = 24;
/// Longest single name that is kept, its NUL included. Names in the kernel are at most 255 bytes.
const MAX_NAME: usize = 64;

/// Whether no directory entry leads to a file: it was deleted, or never had a name (`d_unhashed()`).
#[inline(always)]
pub fn is_deleted(file: *const u8) -> bool {
    let Some(dentry) = pointer::<Probed>(file, offset!(file_path_dentry)) else { return false };
    Probed::get::<u64>(dentry, offset!(dentry_hashed)) == Some(0)
}

/// Writes the names to `into`. Returns the number of bytes used, and whether the root was reached without cutting a name.
#[inline(always)]
pub fn walk(file: *const u8, into: &mut [u8; PATH_LEN]) -> (usize, bool) {
    let Some(mut dentry) = pointer::<Probed>(file, offset!(file_path_dentry)) else { return (0, false) };
    let Some(vfsmount) = pointer::<Probed>(file, offset!(file_path_mnt)) else { return (0, false) };
    let embedded = offset!(mount_mnt);
    if embedded == probe_common::ABSENT {
        return (0, false);
    }
    // `struct mount` contains the vfsmount that the file points to.
    let mut mount = vfsmount.wrapping_sub(embedded as usize);
    let mut used = 0_usize;
    // Non-zero once a name was cut. Collected without a branch, and `used` masked, so that the verifier sees the same
    // state in every turn and does not go through all combinations.
    let mut cut = 0_u32;
    for _ in 0..MAX_STEPS {
        let root = pointer::<Probed>(mount.wrapping_add(embedded as usize), offset!(vfsmount_root));
        let parent = pointer::<Probed>(dentry, offset!(dentry_parent)).unwrap_or(dentry);
        // A memfd is the only file of its mount that is its own parent and not that mount's root: it has one name.
        if root == Some(dentry) || (parent == dentry && used > 0) {
            // The root of this mount: go on at the place where it is mounted, if it is mounted on another one.
            let Some(outer) = pointer::<Probed>(mount, offset!(mount_parent)) else { return (used, false) };
            if outer == mount {
                return (used, cut == 0);
            }
            let Some(point) = pointer::<Probed>(mount, offset!(mount_mountpoint)) else {
                return (used, false);
            };
            dentry = point;
            mount = outer;
            continue;
        }
        let Some(name) = pointer::<Probed>(dentry, offset!(dentry_name)) else { return (used, false) };
        let name_len = Probed::get::<u32>(dentry, offset!(dentry_name_len)).unwrap_or(0);
        used &= PATH_LEN * 2 - 1;
        if used > PATH_LEN - MAX_NAME {
            return (used, false);
        }
        // SAFETY: `used` leaves room for MAX_NAME bytes; the helper checks the address of the name.
        let len = unsafe {
            bpf_probe_read_kernel_str(into.as_mut_ptr().add(used).cast(), MAX_NAME as u32, name.cast())
        };
        if len <= 0 {
            return (used, false);
        }
        let len = len.unsigned_abs() as usize & (MAX_NAME * 2 - 1);
        cut |= name_len ^ (len as u32).wrapping_sub(1);
        used += len;
        dentry = parent;
    }
    (used, false)
}
