//! Signals that can end, stop or continue a task, and the out-of-memory killer's choice.

use crate::{
    record::{COMM_LEN, Header, TaskId},
    wire::wire_struct,
};

/// `info` of `signal_generate` was `SEND_SIG_NOINFO`: the kernel sends on behalf of the current task, without a `siginfo`.
pub const INFO_NONE: u32 = 0;
/// `info` was `SEND_SIG_PRIV`: the kernel sent it on its own behalf.
pub const INFO_PRIV: u32 = 1;
/// `info` was a `kernel_siginfo`: by a system call, or for a fault.
pub const INFO_REAL: u32 = 3;

/// `INVALID_UID`: no login uid is set.
pub const NO_LOGIN_UID: u32 = u32::MAX;
/// Size of a terminal's name in a record, with its NUL. `tty_struct.name` has 64 bytes; the longest known name has 10, `pts1048575`.
pub const TERMINAL_LEN: usize = 16;

/// [`SignalSent::limits`]: the limits of the target were read.
pub const LIMIT_READ: u32 = 1;
/// `RLIMIT_CPU` is set: the soft limit for SIGXCPU, the hard one for SIGKILL.
pub const LIMIT_CPU: u32 = 1 << 1;
/// As [`LIMIT_CPU`], for `RLIMIT_RTTIME`.
pub const LIMIT_RTTIME: u32 = 1 << 2;
/// The target has the policy `SCHED_DEADLINE`; with `SCHED_FLAG_DL_OVERRUN` the kernel sends it SIGXCPU for an overrun of its runtime.
pub const LIMIT_DEADLINE: u32 = 1 << 3;

/// The bit of a signal in [`crate::Settings::signals`]; none for real-time signals.
#[must_use]
pub const fn signal_bit(signal: u32) -> u32 {
    if signal == 0 || signal > 31 { 0 } else { 1 << (signal - 1) }
}

/// Signals whose default action ends, stops or continues a task, and that say why a process ended: SIGHUP, SIGINT, SIGQUIT,
/// SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV, SIGPIPE, SIGTERM, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
/// SIGXCPU, SIGXFSZ, SIGSYS, by
/// the numbers of <https://elixir.bootlin.com/linux/v6.18/source/include/uapi/asm-generic/signal.h>.
pub const SIGNALS_DEFAULT: u32 = signal_bit(1)
    | signal_bit(2)
    | signal_bit(3)
    | signal_bit(4)
    | signal_bit(5)
    | signal_bit(6)
    | signal_bit(7)
    | signal_bit(8)
    | signal_bit(9)
    | signal_bit(11)
    | signal_bit(13)
    | signal_bit(15)
    | signal_bit(18)
    | signal_bit(19)
    | signal_bit(20)
    | signal_bit(21)
    | signal_bit(22)
    | signal_bit(24)
    | signal_bit(25)
    | signal_bit(31);

wire_struct! {
    /// A signal was generated (tracepoint `signal_generate`). The current task is the sender.
    pub struct SignalSent = 136 {
        /// Header.
        pub header: Header,
        /// The target task; with `group` 1 any task of its thread group may handle the signal.
        pub target: TaskId,
        /// The current task.
        pub sender: TaskId,
        /// The sender's comm.
        pub sender_comm: [u8; COMM_LEN],
        /// `info->si_addr` of a fault, or `si_call_addr` of a SIGSYS.
        pub address: u64,
        /// The signal's number.
        pub signal: u32,
        /// `si_code`.
        pub code: i32,
        /// 1 for the whole thread group, 0 for one task.
        pub group: u32,
        /// `TRACE_SIGNAL_` number: 0 delivered, 1 ignored, 2 already pending, 3 overflow, 4 lost the information.
        pub result: i32,
        /// [`INFO_NONE`], [`INFO_PRIV`] or [`INFO_REAL`].
        pub info: u32,
        /// The sender's real uid, in the initial user namespace.
        pub sender_uid: u32,
        /// The sender's PF_ bits.
        pub sender_flags: u32,
        /// `si_syscall` of a SIGSYS, else 0.
        pub syscall: i32,
        /// [`crate::Valid`]: `ACTOR` for the sender, `COMM`, `TASK_FLAGS` for the sender's bits, `CREDENTIALS` for its uid,
        /// `SIGNAL_CODE` for `code`, `PTRACE` and `TRACER` for the tracer, `EXECVE` and
        /// `IN_EXECVE` for whether the sender is in execve(2).
        pub valid: u32,
        /// Thread group of the target's tracer; 0 if the target is not traced.
        pub tracer_tgid: u32,
        /// The sender's login uid, in the initial user namespace; [`NO_LOGIN_UID`] if it has none or if it was not read.
        pub sender_login_uid: u32,
        /// If the kernel sent SIGXCPU or SIGKILL on its own behalf: the `LIMIT_` bits of the target. Else 0.
        pub limits: u32,
        /// The name of the sender's controlling terminal, NUL-terminated; empty if it has none or if it was not read.
        pub sender_terminal: [u8; TERMINAL_LEN],
    }
}

/// Length of a cgroup's name in a record. The name of a container's cgroup has about 80 bytes.
pub const CGROUP_NAME_LEN: usize = 128;

/// [`OomVictim::scope`]: not known.
pub const OOM_UNKNOWN: u32 = 0;
/// The host, or the memory nodes that the task may use: `oom_control.memcg` is NULL.
pub const OOM_HOST: u32 = 1;
/// A memory cgroup: `oom_control.memcg`.
pub const OOM_CGROUP: u32 = 2;
/// No memory cgroup of the trigger is at its limit.
pub const OOM_HOST_BY_USAGE: u32 = 3;
/// A memory cgroup of the trigger is at its limit.
pub const OOM_CGROUP_BY_USAGE: u32 = 4;

wire_struct! {
    /// The out-of-memory killer has chosen a process (tracepoint `mark_victim`). The current task asked for the memory.
    pub struct OomVictim = 224 {
        /// Header.
        pub header: Header,
        /// The victim; only its tid if the kernel passes no more.
        pub victim: TaskId,
        /// The current task, which allocated memory.
        pub trigger: TaskId,
        /// Its comm.
        pub trigger_comm: [u8; COMM_LEN],
        /// [`crate::Valid`]: `ACTOR` for the trigger, `COMM` for its comm, `IDENTITY` for all of `victim`.
        pub valid: u32,
        /// Which limit was reached: one of the `OOM_` constants.
        pub scope: u32,
        /// Id of the memory cgroup whose limit was reached, in the hierarchy of the memory controller; 0 if that is not known, and
        /// for the host.
        pub cgroup_id: u64,
        /// Its limit in pages: `memory.max`, `memory.limit_in_bytes`; 0 where that is not known, and for the host.
        pub limit_pages: u64,
        /// Pages charged to it then.
        pub used_pages: u64,
        /// Name of its directory, ended by NUL, as far as it fits; empty where that is not known.
        pub cgroup_name: [u8; CGROUP_NAME_LEN],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_and_those_of_runtimes_are_masked() {
        for masked in [0, 10, 12, 14, 17, 23, 28, 32, 64] {
            assert_eq!(SIGNALS_DEFAULT & signal_bit(masked), 0, "{masked}");
        }
        for watched in [1, 2, 3, 9, 11, 15, 18, 19, 20, 21, 22, 31] {
            assert_ne!(SIGNALS_DEFAULT & signal_bit(watched), 0, "{watched}");
        }
    }
}
