//! The kernel members that the programs read: the one table of their names, widths and uses.
//!
//! Offsets come from the running kernel's BTF and are never guessed. What depends on a member that the kernel does not have is
//! switched off, and the reason is kept.

use probe_common::{ABSENT, Offsets};
use serde::Serialize;

use crate::kernel::btf::{BtfError, Types};

/// One member and what depends on it.
struct Field {
    slot: fn(&mut Offsets) -> &mut u32,
    of: &'static str,
    /// Names in the order of preference, the newest kernel's first.
    paths: &'static [&'static str],
    /// The widths in bytes that the programs can read; empty: any width.
    widths: &'static [usize],
    /// What is unknown without it.
    gives: &'static str,
}

/// A member that this kernel does not have, and what is switched off without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `struct.member`.
    pub field: String,
    /// What is unknown without it.
    pub switches_off: &'static str,
    /// Why it was not found.
    pub reason: String,
}

/// Members without which no task can be identified.
const IDENTITY: &str = "the identity of tasks: nothing can be observed";
const STATUS: &str = "exit status";
const USAGE: &str = "CPU time and fault counts";
const CGROUP: &str = "cgroup ids";
const NAMESPACE: &str = "pids in namespaces";
const EXECUTABLE: &str = "paths of executables";
const DELETED: &str = "marks of executables that were deleted";
const DISPOSITION: &str = "whether a parent ignores SIGCHLD";
const OOM_LIMIT: &str = "which memory limit was reached when the out-of-memory killer ran";
const SCOPES: &str = "when units and containers began and ended";
const TERMINAL: &str = "the terminal of a signal's sender";
const FAILED_EXEC: &str = "whether a failed execve(2) or a fault ended a process";
const ORPHANS: &str = "new parents of orphans, with tracepoints";

macro_rules! fields {
    ($($slot:ident: $of:literal [$($path:literal)|+] ($($width:literal)|*) $gives:expr;)*) => {
        &[$(Field {
            slot: |offsets| &mut offsets.$slot,
            of: $of,
            paths: &[$($path),+],
            widths: &[$($width),*],
            gives: $gives,
        }),*]
    };
}

const FIELDS: &[Field] = fields! {
    task_pid: "task_struct" ["pid"] (4) IDENTITY;
    task_tgid: "task_struct" ["tgid"] (4) IDENTITY;
    task_start_boottime: "task_struct" ["start_boottime" | "real_start_time"] (8) IDENTITY;
    task_exit_signal: "task_struct" ["exit_signal"] (4) "exit signals";
    task_exit_state: "task_struct" ["exit_state"] (4) "zombies";
    task_exit_code: "task_struct" ["exit_code"] (4) STATUS;
    task_flags: "task_struct" ["flags"] (4) "PF_ flags, and which tasks are kernel threads";
    task_group_leader: "task_struct" ["group_leader"] (8) "the leader released in release_task()'s second turn";
    task_real_parent: "task_struct" ["real_parent"] (8) "parents";
    task_parent: "task_struct" ["parent"] (8) "tracers";
    task_ptrace: "task_struct" ["ptrace"] (4) "tracers";
    task_signal: "task_struct" ["signal"] (8) STATUS;
    task_thread_pid: "task_struct" ["thread_pid"] (8) NAMESPACE;
    task_children: "task_struct" ["children"] (16) ORPHANS;
    task_sibling: "task_struct" ["sibling"] (16) ORPHANS;
    task_comm: "task_struct" ["comm"] (16) "names";
    task_cred: "task_struct" ["cred"] (8) "user ids";
    task_cgroups: "task_struct" ["cgroups"] (8) CGROUP;
    task_mm: "task_struct" ["mm"] (8) "argument vectors";
    task_state: "task_struct" ["__state" | "state"] (4 | 8) "the final switch";
    task_exec_runtime: "task_struct" ["se.sum_exec_runtime"] (8) USAGE;
    task_run_delay: "task_struct" ["sched_info.run_delay"] (8) "time on run queues";
    task_run_count: "task_struct" ["sched_info.pcount"] (8) "times put on a CPU";
    task_utime: "task_struct" ["utime"] (8) USAGE;
    task_stime: "task_struct" ["stime"] (8) USAGE;
    task_nvcsw: "task_struct" ["nvcsw"] (8) "context switches";
    task_nivcsw: "task_struct" ["nivcsw"] (8) "context switches";
    task_min_flt: "task_struct" ["min_flt"] (8) USAGE;
    task_maj_flt: "task_struct" ["maj_flt"] (8) USAGE;
    task_policy: "task_struct" ["policy"] (4) "scheduling policies";
    task_prio: "task_struct" ["prio"] (4) "priorities";
    task_static_prio: "task_struct" ["static_prio"] (4) "nice values";
    task_rt_priority: "task_struct" ["rt_priority"] (4) "real-time priorities";
    task_cpu: "task_struct" ["thread_info.cpu" | "cpu"] (4) "the CPU a task is on";
    task_on_cpu: "task_struct" ["on_cpu"] (1 | 4) "which tasks run and which are only ready to run";
    signal_flags: "signal_struct" ["flags"] (4) STATUS;
    signal_group_exit_code: "signal_struct" ["group_exit_code"] (4) STATUS;
    task_seccomp_mode: "task_struct" ["seccomp.mode"] (4) "whether seccomp ended a process without a signal";
    task_loginuid: "task_struct" ["loginuid.val"] (4) "the login uid of a signal's sender";
    signal_tty: "signal_struct" ["tty"] (8) TERMINAL;
    tty_name: "tty_struct" ["name"] (64) TERMINAL;
    signal_rlim: "signal_struct" ["rlim"] () "which CPU time limit a process exceeded";
    signal_nr_threads: "signal_struct" ["nr_threads"] (4) "thread counts";
    pid_level: "pid" ["level"] (4) NAMESPACE;
    pid_numbers: "pid" ["numbers"] () NAMESPACE;
    upid_nr: "upid" ["nr"] (4) NAMESPACE;
    upid_ns: "upid" ["ns"] (8) NAMESPACE;
    ns_inum: "pid_namespace" ["ns.inum"] (4) NAMESPACE;
    cred_uid: "cred" ["uid.val"] (4) "user ids";
    cred_euid: "cred" ["euid.val"] (4) "user ids";
    css_set_dfl_cgrp: "css_set" ["dfl_cgrp"] (8) CGROUP;
    css_cgroup: "cgroup_subsys_state" ["cgroup"] (8) "cgroups of v1 controllers";
    cgroup_kn: "cgroup" ["kn"] (8) CGROUP;
    kernfs_id: "kernfs_node" ["id"] (8) CGROUP;
    kernfs_name: "kernfs_node" ["name"] (8) "names of cgroups that reached their memory limit, and of short-lived cgroups";
    cgroup_root: "cgroup" ["root"] (8) SCOPES;
    cgroup_self_parent: "cgroup" ["self.parent"] (8) SCOPES;
    css_parent: "mem_cgroup" ["css.parent"] (8) OOM_LIMIT;
    memcg_usage: "mem_cgroup" ["memory.usage"] (8) OOM_LIMIT;
    memcg_max: "mem_cgroup" ["memory.max" | "memory.limit"] (8) OOM_LIMIT;
    oom_control_memcg: "oom_control" ["memcg"] (8) OOM_LIMIT;
    bprm_filename: "linux_binprm" ["filename"] (8) "file names given to execve";
    bprm_file: "linux_binprm" ["file"] (8) EXECUTABLE;
    file_path_dentry: "file" ["f_path.dentry"] (8) EXECUTABLE;
    file_path_mnt: "file" ["f_path.mnt"] (8) EXECUTABLE;
    dentry_parent: "dentry" ["d_parent"] (8) EXECUTABLE;
    dentry_name: "dentry" ["d_name.name"] (8) EXECUTABLE;
    dentry_name_len: "dentry" ["d_name.len"] (4) EXECUTABLE;
    dentry_hashed: "dentry" ["d_hash.pprev"] (8) DELETED;
    mount_mnt: "mount" ["mnt"] () EXECUTABLE;
    mount_parent: "mount" ["mnt_parent"] (8) EXECUTABLE;
    mount_mountpoint: "mount" ["mnt_mountpoint"] (8) EXECUTABLE;
    vfsmount_root: "vfsmount" ["mnt_root"] (8) EXECUTABLE;
    mm_arg_start: "mm_struct" ["arg_start"] (8) "argument vectors";
    mm_arg_end: "mm_struct" ["arg_end"] (8) "argument vectors";
    task_sighand: "task_struct" ["sighand"] (8) DISPOSITION;
    sighand_action: "sighand_struct" ["action"] () DISPOSITION;
    k_sigaction_handler: "k_sigaction" ["sa.sa_handler"] (8) DISPOSITION;
    k_sigaction_flags: "k_sigaction" ["sa.sa_flags"] (8) DISPOSITION;
    clone_args_flags: "kernel_clone_args" ["flags"] (8) "clone flags";
    clone_args_exit_signal: "kernel_clone_args" ["exit_signal"] (4) "exit signals of failed clones";
};

/// Resolves every field. A field that this kernel does not have becomes [`ABSENT`] and is listed.
#[must_use]
pub fn resolve(types: &Types) -> (Offsets, Vec<Missing>) {
    let mut offsets = Offsets::ABSENT;
    let mut missing = Vec::new();
    for field in FIELDS {
        match field.resolve(types) {
            Ok(offset) => *(field.slot)(&mut offsets) = offset,
            Err(reason) => missing.push(Missing {
                field: format!("{}.{}", field.of, field.paths.first().unwrap_or(&"")),
                switches_off: field.gives,
                reason: reason.to_string(),
            }),
        }
    }
    match types.bit("task_struct", "in_execve") {
        Ok((offset, mask)) => (offsets.task_in_execve, offsets.task_in_execve_mask) = (offset, mask),
        Err(reason) => missing.push(Missing {
            field: "task_struct.in_execve".into(),
            switches_off: FAILED_EXEC,
            reason: reason.to_string(),
        }),
    }
    let mut size = |of, slot: &mut u32, switches_off| match types.size_of(of) {
        Ok(size) => *slot = size as u32,
        Err(reason) => {
            missing.push(Missing {
                field: format!("sizeof(struct {of})"),
                switches_off,
                reason: reason.to_string(),
            });
        }
    };
    size("upid", &mut offsets.upid_size, NAMESPACE);
    size("k_sigaction", &mut offsets.k_sigaction_size, DISPOSITION);
    (offsets, missing)
}

/// Returns the offset in `css_set` of the pointer to the state of a v1 controller; [`ABSENT`] if there is no such controller.
/// `css_set.subsys` is an array of pointers, indexed by the number that this kernel gives the controller.
#[must_use]
pub fn controller(types: &Types, name: Option<&str>) -> u32 {
    const POINTER: u32 = 8;
    let offset = name.and_then(|name| {
        let states = types.member("css_set", &["subsys"]).ok()?;
        let number = types.enumerator("cgroup_subsys_id", &format!("{name}_cgrp_id"))?;
        let at = number.checked_mul(POINTER)?;
        ((at as usize) < states.size).then(|| states.offset.checked_add(at))?
    });
    offset.unwrap_or(ABSENT)
}

/// Returns whether tasks can be identified at all.
#[must_use]
pub const fn identity_known(offsets: &Offsets) -> bool {
    offsets.task_pid != ABSENT && offsets.task_tgid != ABSENT && offsets.task_start_boottime != ABSENT
}

impl Field {
    fn resolve(&self, types: &Types) -> Result<u32, BtfError> {
        let place = types.member(self.of, self.paths)?;
        if self.widths.is_empty() || self.widths.contains(&place.size) {
            return Ok(place.offset);
        }
        Err(BtfError::Width {
            of: self.of,
            member: self.paths.join(" or "),
            found: place.size,
            wanted: self.widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        })
    }
}
