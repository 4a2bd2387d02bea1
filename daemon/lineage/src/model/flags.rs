//! The kernel's own names for bits and numbers: `PF_`, `CLONE_`, signals, exit states, errnos.

/// A named bit.
pub type Bit<T> = (T, &'static str);

/// `PF_VCPU`: runs a guest.
pub const PF_VCPU: u32 = 0x1;
/// `PF_EXITING`: in `do_exit()`.
pub const PF_EXITING: u32 = 0x4;
/// `PF_IO_WORKER`: an `io_uring` worker.
pub const PF_IO_WORKER: u32 = 0x10;
/// `PF_FORKNOEXEC`: forked and never exec'ed.
pub const PF_FORKNOEXEC: u32 = 0x40;
/// `PF_DUMPCORE`: dumped core.
pub const PF_DUMPCORE: u32 = 0x200;
/// `PF_SIGNALED`: killed by a signal.
pub const PF_SIGNALED: u32 = 0x400;
/// `PF_USER_WORKER`: a kernel thread that a user process owns (from 6.4 on; `io_uring` workers have it too).
pub const PF_USER_WORKER: u32 = 0x4000;
/// `PF_KTHREAD`: a kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// The `PF_` bits that explain a life and mean the same on every supported kernel.
pub const TASK_FLAGS: &[Bit<u32>] = &[
    (PF_VCPU, "PF_VCPU"),
    (PF_EXITING, "PF_EXITING"),
    (PF_IO_WORKER, "PF_IO_WORKER"),
    (PF_FORKNOEXEC, "PF_FORKNOEXEC"),
    (PF_DUMPCORE, "PF_DUMPCORE"),
    (PF_SIGNALED, "PF_SIGNALED"),
    (PF_USER_WORKER, "PF_USER_WORKER"),
    (PF_KTHREAD, "PF_KTHREAD"),
];

/// `CLONE_VM`.
pub const CLONE_VM: u64 = 0x100;
/// `CLONE_VFORK`.
pub const CLONE_VFORK: u64 = 0x4000;
/// `CLONE_PARENT`.
pub const CLONE_PARENT: u64 = 0x8000;
/// `CLONE_THREAD`.
pub const CLONE_THREAD: u64 = 0x1_0000;

/// Every flag of clone(2) and clone3(2), in the order of its bit. The low byte of clone(2)'s word is the exit signal, not flags.
pub const CLONE_FLAGS: &[Bit<u64>] = &[
    (0x80, "CLONE_NEWTIME"),
    (CLONE_VM, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (CLONE_VFORK, "CLONE_VFORK"),
    (CLONE_PARENT, "CLONE_PARENT"),
    (CLONE_THREAD, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"),
    (0x10_0000, "CLONE_PARENT_SETTID"),
    (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x40_0000, "CLONE_DETACHED"),
    (0x80_0000, "CLONE_UNTRACED"),
    (0x100_0000, "CLONE_CHILD_SETTID"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
    (0x1_0000_0000, "CLONE_CLEAR_SIGHAND"),
    (0x2_0000_0000, "CLONE_INTO_CGROUP"),
];

/// `EXIT_DEAD`.
pub const EXIT_DEAD: u32 = 16;
/// `EXIT_ZOMBIE`.
pub const EXIT_ZOMBIE: u32 = 32;

/// `SIGHUP`.
pub const SIGHUP: i32 = 1;
/// `SIGINT`.
pub const SIGINT: i32 = 2;
/// `SIGQUIT`.
pub const SIGQUIT: i32 = 3;
/// `SIGILL`.
pub const SIGILL: i32 = 4;
/// `SIGTRAP`.
pub const SIGTRAP: i32 = 5;
/// `SIGABRT`.
pub const SIGABRT: i32 = 6;
/// `SIGBUS`.
pub const SIGBUS: i32 = 7;
/// `SIGFPE`.
pub const SIGFPE: i32 = 8;
/// `SIGKILL`.
pub const SIGKILL: i32 = 9;
/// `SIGSEGV`.
pub const SIGSEGV: i32 = 11;
/// `SIGPIPE`.
pub const SIGPIPE: i32 = 13;
/// `SIGTERM`.
pub const SIGTERM: i32 = 15;
/// `SIGCHLD`.
pub const SIGCHLD: i32 = 17;
/// `SIGCONT`.
pub const SIGCONT: i32 = 18;
/// `SIGSTOP`.
pub const SIGSTOP: i32 = 19;
/// `SIGTSTP`.
pub const SIGTSTP: i32 = 20;
/// `SIGTTIN`.
pub const SIGTTIN: i32 = 21;
/// `SIGTTOU`.
pub const SIGTTOU: i32 = 22;
/// `SIGXCPU`.
pub const SIGXCPU: i32 = 24;
/// `SIGXFSZ`.
pub const SIGXFSZ: i32 = 25;
/// `SIGSYS`.
pub const SIGSYS: i32 = 31;

/// `SI_KERNEL`: the `si_code` of a signal that the kernel sent on its own behalf.
pub const SI_KERNEL: i32 = 0x80;

/// `TRACE_SIGNAL_IGNORED`: the kernel discarded the signal.
pub const TRACE_SIGNAL_IGNORED: i32 = 1;

/// Whether it is a signal by which a supervisor asks a process to end, and which the process may handle: SIGHUP, SIGINT, SIGQUIT,
/// SIGTERM.
#[must_use]
pub const fn is_stop_signal(signal: i32) -> bool {
    matches!(signal, SIGHUP | SIGINT | SIGQUIT | SIGTERM)
}

/// Whether it is a signal that stops a process (`sig_kernel_stop()`) or continues it.
#[must_use]
pub const fn is_job_control_signal(signal: i32) -> bool {
    matches!(signal, SIGCONT | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU)
}

/// Name of an `exit_state`; `None` for a live task and for a state this kernel should not show.
#[must_use]
pub const fn exit_state_name(state: u32) -> Option<&'static str> {
    match state {
        EXIT_DEAD => Some("EXIT_DEAD"),
        EXIT_ZOMBIE => Some("EXIT_ZOMBIE"),
        48 => Some("EXIT_TRACE"),
        _ => None,
    }
}

const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Name of a standard signal; `None` for 0, -1 and real-time signals, which have none.
#[must_use]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    SIGNALS.get(index).copied()
}

/// Name of an errno that `copy_process()` can return.
#[must_use]
pub const fn errno_name(errno: i32) -> Option<&'static str> {
    match errno {
        1 => Some("EPERM"),
        4 => Some("EINTR"),
        5 => Some("EIO"),
        7 => Some("E2BIG"),
        9 => Some("EBADF"),
        11 => Some("EAGAIN"),
        12 => Some("ENOMEM"),
        13 => Some("EACCES"),
        14 => Some("EFAULT"),
        16 => Some("EBUSY"),
        17 => Some("EEXIST"),
        22 => Some("EINVAL"),
        23 => Some("ENFILE"),
        24 => Some("EMFILE"),
        28 => Some("ENOSPC"),
        38 => Some("ENOSYS"),
        95 => Some("EOPNOTSUPP"),
        513 => Some("ERESTARTNOINTR"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_linux_numbers() {
        for (number, name) in
            [(1, "SIGHUP"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM"), (17, "SIGCHLD"), (31, "SIGSYS")]
        {
            assert_eq!(signal_name(number), Some(name));
        }
        for unnamed in [-1, 0, 32, 64] {
            assert_eq!(signal_name(unnamed), None);
        }
    }

    #[test]
    fn flags_are_single_bits_in_order() {
        for pair in CLONE_FLAGS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].1, pair[1].1);
        }
        assert!(CLONE_FLAGS.iter().all(|(bit, _)| bit.is_power_of_two()));
        assert!(TASK_FLAGS.iter().all(|(bit, _)| bit.is_power_of_two()));
    }
}
