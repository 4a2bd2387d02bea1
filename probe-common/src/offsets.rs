//! Offsets of the fields of kernel structures. The daemon finds them in the running kernel's BTF and passes them to the programs
//! as a read-only global. The verifier knows the values, so that the code for an absent field is dead code and costs nothing.

use crate::wire::wire_struct;

/// The offset of a field that this kernel does not have, or that could not be resolved.
pub const ABSENT: u32 = u32::MAX;

/// A threshold that the ring never reaches.
pub const NEVER_SHED: u32 = u32::MAX;

macro_rules! offsets {
    ($size:literal; $($field:ident),* $(,)?) => {
        wire_struct! {
            /// Byte offsets from the start of the named structure; [`ABSENT`] where unknown.
            ///
            /// A field is named after the structure and the member that it stands for. The daemon's table has the names by which
            /// the daemon searches for the member in BTF.
            pub struct Offsets = $size {
                $(
                    #[doc = concat!("`", stringify!($field), "`.")]
                    pub $field: u32,
                )*
            }
        }

        impl Offsets {
            /// Offsets that are all unknown.
            pub const ABSENT: Self = Self { $($field: ABSENT),* };
        }
    };
}

offsets! {
    348;
    task_pid, task_tgid, task_start_boottime, task_exit_signal, task_exit_state, task_exit_code, task_flags,
    task_group_leader, task_real_parent, task_parent, task_ptrace, task_signal, task_thread_pid, task_children,
    task_sibling, task_comm, task_cred, task_cgroups, task_mm, task_state,
    task_exec_runtime, task_run_delay, task_run_count, task_utime, task_stime, task_nvcsw, task_nivcsw, task_min_flt,
    task_maj_flt,
    signal_flags, signal_group_exit_code, signal_nr_threads,
    pid_level, pid_numbers, upid_nr, upid_ns, upid_size, ns_inum,
    cred_uid, cred_euid,
    css_set_dfl_cgrp, css_set_controller, css_cgroup, cgroup_kn, kernfs_id,
    bprm_filename, bprm_file, file_path_dentry, file_path_mnt,
    dentry_parent, dentry_name, dentry_name_len, dentry_hashed,
    mount_mnt, mount_parent, mount_mountpoint, vfsmount_root,
    mm_arg_start, mm_arg_end,
    clone_args_flags, clone_args_exit_signal,
    task_sighand, sighand_action, k_sigaction_size, k_sigaction_handler, k_sigaction_flags,
    task_policy, task_prio, task_static_prio, task_rt_priority, task_cpu, task_on_cpu,
    css_set_memory, css_parent, memcg_usage, memcg_max, oom_control_memcg, kernfs_name,
    cgroup_root, cgroup_self_parent,
    task_loginuid, task_in_execve, task_in_execve_mask, signal_tty, signal_rlim, tty_name, task_seccomp_mode,
}

wire_struct! {
    /// Switches that the daemon sets before load. Zero is the default of each.
    pub struct Settings = 24 {
        /// 1: send argument vectors ([`crate::ExecArgs`]).
        pub args: u32,
        /// With more bytes than this in the ring, renames, argument vectors and failed clones are left out; [`NEVER_SHED`] for
        /// never.
        pub shed_details_above: u32,
        /// With more bytes than this in the ring, creations of threads are left out as well; [`NEVER_SHED`] for never.
        pub shed_threads_above: u32,
        /// With more bytes than this in the ring, signals are left out; [`NEVER_SHED`] for never.
        pub shed_signals_above: u32,
        /// Signals that are reported: [`crate::signal_bit`]s.
        pub signals: u32,
        /// Zero.
        pub pad: u32,
    }
}
