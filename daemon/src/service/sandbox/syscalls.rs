//! The system calls of a daemon that runs, as tables. They were found by `strace -f` of everything that it does: polls, records,
//! every path of the API, readers, SIGHUP, canaries, attaching again, notifications to systemd, the end. Calls that other C
//! libraries use for the same are included.

use libc::c_long;

/// Allowed with any arguments. None of them opens a path for writing, creates a socket, or reaches another process.
pub(super) const ALLOWED: &[c_long] = &[
    // Descriptors that are open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fadvise64,
    libc::SYS_getdents64,
    // Paths, without opening any.
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    // The socket's file, at the end. Landlock says in which directory.
    libc::SYS_unlinkat,
    // Connections that come in.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // The event loop and its timers.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    // Time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    // Memory. mmap and mprotect have rules of their own.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    // Threads and signals of this process.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Canaries.
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // About this process and this machine.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_capget,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    // Attaching again after a link was cut, if the capabilities were kept. bpf and ioctl have rules of their own.
    libc::SYS_perf_event_open,
];

/// Older variants of these system calls, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
pub(super) const ALLOWED_OLD: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const ALLOWED_OLD: &[c_long] = &[];

/// Allowed with any arguments if there is history: a segment is truncated after a failure, synced at its end, and renamed.
pub(super) const HISTORY: &[c_long] = &[libc::SYS_ftruncate, libc::SYS_fdatasync, libc::SYS_renameat2];

/// Allowed with any arguments if outputs connect to servers; `socket` has a rule.
pub(super) const CONNECT: &[c_long] = &[libc::SYS_connect];

/// Address families of the sockets that outputs create.
pub(super) const FAMILIES: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];

/// Allowed with any arguments if names of hosts are looked up: the resolver sends both queries (A and AAAA) in one call.
pub(super) const NAMES: &[c_long] = &[libc::SYS_sendmmsg, libc::SYS_recvmmsg];

/// Allowed with any arguments if outputs have spill files, which are open already.
pub(super) const SPILL: &[c_long] = &[libc::SYS_pwrite64];

/// Calls that end the daemon. No C library and no crate makes them, so code that does has taken the daemon over.
pub(super) const DEADLY: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // The kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Identity.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// Deadly on this architecture alone.
#[cfg(target_arch = "x86_64")]
pub(super) const DEADLY_OLD: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const DEADLY_OLD: &[c_long] = &[];

/// Commands of bpf(2) (`enum bpf_cmd` of `linux/bpf.h`) that read maps, run iterators and a program that reads tasks, and attach
/// programs that are loaded. Loading a program and making a map are not among them.
pub(super) const BPF_COMMANDS: &[u32] = &[
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    10, // BPF_PROG_TEST_RUN
    15, // BPF_OBJ_GET_INFO_BY_FD
    17, // BPF_RAW_TRACEPOINT_OPEN
    24, // BPF_MAP_LOOKUP_BATCH
    28, // BPF_LINK_CREATE
    33, // BPF_ITER_CREATE
    34, // BPF_LINK_DETACH
];

/// Requests of ioctl(2).
pub(super) const IOCTLS: &[u32] = &[
    0x5401,      // TCGETS: whether standard error is a terminal
    0x5421,      // FIONBIO: a descriptor that does not block
    0x541b,      // FIONREAD
    0x2400,      // PERF_EVENT_IOC_ENABLE
    0x2401,      // PERF_EVENT_IOC_DISABLE
    0x4004_2408, // PERF_EVENT_IOC_SET_BPF
];
