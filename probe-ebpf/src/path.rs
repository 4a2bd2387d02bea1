//! The path of an open file, from its dentry up to the root across mounts, as `/proc/PID/exe` shows it.
//!
//! `bpf_d_path()` is not open to tracepoint programs, so the names are walked here: leaf first, each with its NUL. The daemon
//! reverses them.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use probe_common::{ABSENT, PATH_LEN};

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

/// The word at `offset` from `base`; zero if it cannot be read, because the helper clears what it does not fill. There is no branch,
/// so the verifier does not follow two ways.
#[inline(always)]
fn word(base: u64, offset: u32) -> u64 {
    let mut word = 0_u64;
    let into: *mut u64 = &raw mut word;
    // SAFETY: the helper checks the address, and writes the eight bytes of `word`.
    unsafe {
        bpf_probe_read_kernel(into.cast(), 8, base.wrapping_add(u64::from(offset)) as *const _);
        into.read_volatile()
    }
}

/// Writes the names to `names` and the number of bytes in use to `used`. Returns whether the root was reached with every name whole.
///
/// The number of bytes is kept in the record and not in a register: the verifier takes what it loads from there for any number. So
/// each step begins in the same state whatever the last one did, and the verifier follows each branch once a step and not in all
/// combinations.
#[inline(always)]
pub fn walk(file: *const u8, names: &mut [u8; PATH_LEN], used: &mut u16) -> bool {
    let used: *mut u16 = used;
    // SAFETY: made from a unique reference above. Volatile keeps the compiler from holding it in a register.
    let load = || usize::from(unsafe { used.read_volatile() }) & (PATH_LEN * 2 - 1);
    // SAFETY: as above.
    let store = |bytes: usize| unsafe { used.write_volatile(bytes as u16) };
    store(0);
    let embedded = offset!(mount_mnt);
    let needed = [
        embedded,
        offset!(mount_parent),
        offset!(mount_mountpoint),
        offset!(vfsmount_root),
        offset!(file_path_dentry),
        offset!(file_path_mnt),
        offset!(dentry_parent),
        offset!(dentry_name),
        offset!(dentry_name_len),
    ];
    if needed.contains(&ABSENT) {
        return false;
    }
    let mut dentry = word(file as u64, offset!(file_path_dentry));
    // `struct mount` contains the vfsmount that the file points to.
    let mut mount = word(file as u64, offset!(file_path_mnt)).wrapping_sub(u64::from(embedded));
    // Non-zero once a name was cut. Collected without a branch.
    let mut cut = 0_u32;
    for _ in 0..MAX_STEPS {
        let root = word(mount, embedded + offset!(vfsmount_root));
        let parent = word(dentry, offset!(dentry_parent));
        let bytes = load();
        // A memfd is the only file of its mount that is its own parent and not that mount's root: it has one name.
        if root == dentry || (parent == dentry && bytes > 0) {
            // This is the root of the mount. Continue at its mount point, if it is mounted in another mount.
            let outer = word(mount, offset!(mount_parent));
            if outer == mount {
                // If the mount could not be read, it is zero, and the walk has not reached the root of the file system.
                return mount != 0 && cut == 0;
            }
            dentry = word(mount, offset!(mount_mountpoint));
            mount = outer;
            continue;
        }
        let name_len = word(dentry, offset!(dentry_name_len)) as u32;
        if bytes > PATH_LEN - MAX_NAME {
            return false;
        }
        let name = word(dentry, offset!(dentry_name)) as *const _;
        // SAFETY: `bytes` leaves room for MAX_NAME bytes; the helper checks the address of the name.
        let len =
            unsafe { bpf_probe_read_kernel_str(names.as_mut_ptr().add(bytes).cast(), MAX_NAME as u32, name) };
        if len <= 0 {
            return false;
        }
        let len = len.unsigned_abs() as usize & (MAX_NAME * 2 - 1);
        cut |= name_len ^ (len as u32).wrapping_sub(1);
        store(bytes + len);
        dentry = parent;
    }
    false
}
