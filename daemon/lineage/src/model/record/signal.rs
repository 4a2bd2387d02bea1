//! Signals: what was sent, by which task, and what the target does with it.

use crate::model::comm::Comm;
use crate::model::id::TaskRef;

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
    /// The target's disposition of the signal, if it was read.
    pub disposition: Option<Disposition>,
    /// Whether the target's group leads its session, if that was read.
    pub leads_session: Option<bool>,
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
