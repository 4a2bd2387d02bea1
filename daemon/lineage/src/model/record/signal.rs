//! Signals: what was sent, by which task, and what the target does with it.

use crate::model::comm::Comm;
use crate::model::id::{TaskRef, Tgid};
use crate::model::record::Terminal;

/// The kind of `siginfo` that the kernel passed with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalInfo {
    /// `SEND_SIG_NOINFO`: the kernel sent it on behalf of the current task.
    None,
    /// `SEND_SIG_PRIV`: the kernel sent it on its own behalf.
    Kernel,
    /// A `siginfo` from a system call or a fault.
    Real,
}

/// A signal was generated: tracepoint `signal_generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSent {
    /// The target task.
    pub target: TaskRef,
    /// Whether the signal is for the whole group, so that any task of it may handle it.
    pub to_group: bool,
    /// The current task.
    pub sender: Option<TaskRef>,
    /// The sender's comm.
    pub sender_comm: Option<Comm>,
    /// The sender's real uid.
    pub sender_uid: Option<u32>,
    /// The sender's PF_ bits.
    pub sender_flags: Option<u32>,
    /// The sender's login uid (`/proc/PID/loginuid`).
    pub sender_login_uid: Option<u32>,
    /// The sender's controlling terminal.
    pub sender_terminal: Option<Terminal>,
    /// Whether the sender was in execve(2).
    pub in_execve: Option<bool>,
    /// The number of the signal.
    pub signal: i32,
    /// `si_code`.
    pub code: Option<i32>,
    /// The kind of `siginfo` that `si_code` comes from.
    pub info: SignalInfo,
    /// `TRACE_SIGNAL_` number: 0 delivered, 1 ignored, 2 already pending, 3 overflow, 4 delivered without its `siginfo`.
    pub result: i32,
    /// `si_addr` of a fault.
    pub address: u64,
    /// `si_syscall` of a SIGSYS.
    pub syscall: i32,
    /// The thread group of the target's tracer; `Some(None)` if the target was not traced.
    pub tracer: Option<Option<Tgid>>,
    /// The target's CPU time limits, if the kernel sent SIGXCPU or SIGKILL on its own behalf.
    pub cpu_limits: Option<CpuLimits>,
    /// The target's disposition of the signal, if it was read.
    pub disposition: Option<Disposition>,
    /// Whether the target's group leads its session, if that was read.
    pub leads_session: Option<bool>,
}

/// Which CPU time limits apply to a task: the soft ones for SIGXCPU, the hard ones for SIGKILL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuLimits {
    /// `RLIMIT_CPU` is set.
    pub cpu: bool,
    /// `RLIMIT_RTTIME` is set.
    pub rttime: bool,
    /// The task has the policy `SCHED_DEADLINE`; with `SCHED_FLAG_DL_OVERRUN` the kernel sends it SIGXCPU for an overrun of its runtime.
    pub deadline: bool,
}

/// What a process does with a signal, read from `/proc/PID/status` when the record of the signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It has the default action: the kernel ends the process.
    Default,
    /// It ignores it: `SigIgn`.
    Ignored,
    /// Its leader blocks it: `SigBlk`.
    Blocked,
    /// It has a handler: `SigCgt`.
    Caught,
}
