//! Concludes the cause of a group's end from the signals sent to it and from its wait status.
//!
//! A cause is certain only if no other cause leaves the same evidence; otherwise the conclusion names the missing fact.

use super::memory::Orphaned;
use crate::model::death::{Cause, Missing, OomMark, Sent, Watch};
use crate::model::flags::{
    SI_KERNEL, SIGABRT, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSYS,
    SIGTERM, SIGTRAP, SIGXCPU, SIGXFSZ,
};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{CpuLimits, SignalInfo};
use crate::model::status::WaitStatus;

/// `SI_TKILL`: tgkill(2).
const SI_TKILL: i32 = -6;
/// `SYS_SECCOMP`.
const SYS_SECCOMP: i32 = 1;

/// The mark of an out-of-memory victim follows its SIGKILL within microseconds; a preempted killer takes longer.
const MARK_WITHIN_NS: u64 = 1_000_000_000;

/// A process that handles a signal and then sends the same one to itself does so within this time, ns.
const HANDLED_WITHIN_NS: u64 = 10_000_000_000;

/// What is known of a group that has ended.
pub(super) struct Case<'a> {
    pub(super) status: Option<WaitStatus>,
    /// Signals to it since it began, oldest first.
    pub(super) sent: &'a [Sent],
    pub(super) oom: Option<&'a OomMark>,
    pub(super) orphaned: Option<Orphaned>,
    /// The tracer of the group when the group ended.
    pub(super) tracer: Option<TaskRef>,
    /// When the group was created; 0 if no record showed it.
    pub(super) began: Ktime,
    /// Whether signals to it were dropped because there was no room.
    pub(super) has_forgotten: bool,
    pub(super) watch: &'a Watch,
}

/// A cause, with its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) cause: Cause,
    /// `None`: certain.
    pub(super) missing: Option<Missing>,
    /// Which of [`Case::sent`] ended it.
    pub(super) by: Option<usize>,
}

const fn certain(cause: Cause) -> (Cause, Option<Missing>) {
    (cause, None)
}

const fn likely(cause: Cause, missing: Missing) -> (Cause, Option<Missing>) {
    (cause, Some(missing))
}

const fn unknown(missing: Missing) -> (Cause, Option<Missing>) {
    (Cause::Unknown, Some(missing))
}

impl Case<'_> {
    pub(super) fn conclude(&self) -> Conclusion {
        let Some(status) = self.status else { return unseen(unknown(Missing::Status)) };
        let Some(signal) = status.signal() else { return unseen(certain(Cause::Exited)) };
        let Some(last) = self.killer(signal) else { return unseen(self.without_a_signal(signal)) };
        let handled = self.handled_before(last.1);
        let (at, sent) = handled.unwrap_or(last);
        let (cause, missing) = self.judge(sent, at);
        let missing = missing.or(handled.map(|_| Missing::RaisedAgain));
        Conclusion { cause, missing, by: Some(at) }
    }

    /// Returns the signal that ended the group. That is the first SIGKILL, which ends a group at once, or the last of other
    /// signals, because a handler may have handled earlier ones. A signal that its sender repeats is one entry of [`Case::sent`],
    /// so the order of the entries is not that of the last signals.
    fn killer(&self, signal: i32) -> Option<(usize, &Sent)> {
        let mut fitting =
            self.sent.iter().enumerate().filter(|(_, sent)| sent.signal == signal && sent.is_delivered());
        if signal == SIGKILL { fitting.next() } else { fitting.max_by_key(|(_, sent)| sent.last) }
    }

    /// Returns the signal that the group handled before it sent the same one to itself, as shells do. A program that cleans up in a
    /// handler then ends itself by the same signal, so that its parent sees why it ended (signal(7) and bash(1) advise this).
    fn handled_before(&self, own: &Sent) -> Option<(usize, &Sent)> {
        if !own.is_from_itself() || own.is_fault() || own.info == SignalInfo::Kernel {
            return None;
        }
        let is_cause = |sent: &Sent| {
            sent.signal == own.signal
                && sent.is_delivered()
                && (!sent.is_from_itself() || sent.is_fault())
                && sent.last <= own.last
                && own.last.since(sent.last) <= HANDLED_WITHIN_NS
        };
        self.sent.iter().enumerate().filter(|(_, sent)| is_cause(sent)).max_by_key(|(_, sent)| sent.last)
    }

    fn without_a_signal(&self, signal: i32) -> (Cause, Option<Missing>) {
        let Some(since) = self.watch.since else { return unknown(Missing::SignalHook) };
        if !self.watch.watches(signal) {
            return unknown(Missing::NotWatched);
        }
        if self.watch.lost_until >= self.began || self.has_forgotten {
            return unknown(Missing::RecordsLost);
        }
        if self.tracer.is_some() {
            return likely(Cause::Tracer, Missing::TracerRequest);
        }
        if signal == SIGSYS {
            return likely(Cause::Seccomp, Missing::SeccompMode);
        }
        if self.began < since {
            return unknown(Missing::BeforeDaemon);
        }
        if signal == SIGKILL {
            return likely(Cause::Seccomp, Missing::SeccompMode);
        }
        unknown(Missing::NotGenerated)
    }

    fn judge(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        match sent.info {
            SignalInfo::None => self.on_behalf(sent, at),
            SignalInfo::Kernel => self.by_kernel(sent, at),
            SignalInfo::Real if sent.is_fault() => Self::forced(sent),
            SignalInfo::Real => self.by_process(sent, at),
        }
    }

    /// Returns the cause if the kernel sent the signal without a `siginfo`, as a consequence of what the current task did.
    fn on_behalf(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        match (sent.signal, sent.is_from_itself()) {
            (SIGPIPE, true) => certain(Cause::BrokenPipe),
            (SIGXFSZ, true) => certain(Cause::FileSizeLimit),
            (_, false) if sent.to_group && sent.is_sender_exiting() => certain(Cause::ParentDeathSignal),
            // ptrace(2): PTRACE_KILL sends this since Linux 5.19.
            (SIGKILL, false) if !sent.to_group => match (sent.is_from_tracer(), self.is_tracer(sent)) {
                (Some(true), _) | (None, true) => likely(Cause::Tracer, Missing::TracerRequest),
                (Some(false), _) => certain(Cause::CgroupKill),
                (None, false) => likely(Cause::CgroupKill, Missing::TracerRequest),
            },
            (SIGKILL, true) if !sent.to_group => likely(Cause::CgroupKill, Missing::SecurityProfile),
            // kill(2) of newer kernels (seen on 7.3) passes no `siginfo` either; its signal always goes to the whole group.
            _ if sent.to_group => self.by_process(sent, at),
            _ => likely(Cause::Kernel, Missing::KernelReason),
        }
    }

    /// Returns the cause if the kernel sent the signal on its own behalf (`SEND_SIG_PRIV`), while the current task ran.
    fn by_kernel(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        let is_own = sent.is_from_itself();
        match sent.signal {
            SIGKILL if self.is_oom_victim(sent) => certain(Cause::Oom),
            // A tracer that resumes a tracee at a system call with a signal lets the tracee send the signal to itself
            // (`ptrace_report_syscall()`). The kernel sends signals for limits to the whole group.
            _ if is_own && !sent.to_group && self.is_traced(sent) => certain(Cause::Tracer),
            // exit_ptrace() of the tracer sends this signal before it detaches.
            SIGKILL if !is_own && sent.is_sender_exiting() && !sent.to_group => {
                if sent.is_from_tracer().unwrap_or(self.tracer.is_some()) {
                    certain(Cause::Tracer)
                } else {
                    likely(Cause::Tracer, Missing::TracerRequest)
                }
            }
            SIGKILL if !is_own && sent.is_sender_exiting() && sent.sender.is_namespace_init => {
                certain(Cause::PidNamespaceInit)
            }
            SIGKILL if is_own => self.by_hard_limit(sent, at),
            SIGKILL if !self.watch.oom && !sent.is_sender_exiting() => likely(Cause::Oom, Missing::OomHook),
            SIGKILL => likely(Cause::Kernel, Missing::SharedMemory),
            SIGXCPU if is_own => Self::by_cpu_limit(sent),
            SIGHUP => self.by_hangup(sent),
            SIGINT | SIGQUIT => certain(Cause::TerminalKey),
            _ => likely(Cause::Kernel, Missing::KernelReason),
        }
    }

    /// Returns which CPU time limit the signal is for. `check_rlimit()` of the kernel sends the same signal for `RLIMIT_CPU` and
    /// `RLIMIT_RTTIME`.
    fn by_cpu_limit(sent: &Sent) -> (Cause, Option<Missing>) {
        match sent.cpu_limits {
            None
            | Some(CpuLimits { cpu: true, rttime: true, .. } | CpuLimits { cpu: true, deadline: true, .. }) => {
                likely(Cause::CpuLimit, Missing::WhichLimit)
            }
            Some(CpuLimits { cpu: true, .. }) => certain(Cause::CpuLimit),
            Some(CpuLimits { rttime: true, deadline: true, .. }) => {
                likely(Cause::RealTimeLimit, Missing::WhichLimit)
            }
            Some(CpuLimits { rttime: true, .. }) => certain(Cause::RealTimeLimit),
            Some(_) => likely(Cause::Kernel, Missing::KernelReason),
        }
    }

    /// Returns the cause of a SIGKILL that the kernel sent to the current task's own group.
    fn by_hard_limit(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        if !self.watch.oom {
            return unknown(Missing::OomHook);
        }
        let (cause, missing) = Self::by_cpu_limit(sent);
        let is_warning = |sent: &Sent| sent.signal == SIGXCPU && sent.is_from_itself();
        let is_warned = self.sent.get(..at).unwrap_or_default().iter().any(is_warning);
        (cause, missing.or((!is_warned).then_some(Missing::NoWarning)))
    }

    /// Returns the cause of a SIGHUP from the kernel. `kill_orphaned_pgrp()` of an exiting task sends SIGHUP and SIGCONT to each
    /// process of the group while it holds `tasklist_lock`; no process can end without that lock. Two other functions send both
    /// signals: `tty_signal_session_leader()` to session leaders, whose own groups cannot become orphaned; and
    /// `disassociate_ctty()`, if such a leader exits afterwards, to the foreground process group.
    fn by_hangup(&self, sent: &Sent) -> (Cause, Option<Missing>) {
        let hung_up = certain(Cause::TerminalHangup);
        let perhaps = likely(Cause::TerminalHangup, Missing::OrphanedGroup);
        if !sent.is_sender_exiting() {
            return hung_up;
        }
        let Some(orphaned) = self.orphaned else {
            return if self.watch.lost_until >= sent.at { perhaps } else { hung_up };
        };
        match (orphaned.is_sender_hung_up, orphaned.leads_session, orphaned.was_stopped) {
            (true, _, false) | (false, Some(true), _) => hung_up,
            (false, Some(false), _) => certain(Cause::OrphanedGroup),
            (false, None, true) => likely(Cause::OrphanedGroup, Missing::SessionLeader),
            (true, _, true) | (false, None, false) => perhaps,
        }
    }

    /// Whether the process that traced the group when it ended sent the signal.
    fn is_tracer(&self, sent: &Sent) -> bool {
        self.tracer.is_some_and(|tracer| sent.sender.task.is_some_and(|sender| sender.tgid == tracer.tgid))
    }

    /// Whether the target was traced when the signal was sent; if the record does not say that, whether the group was traced when it ended.
    fn is_traced(&self, sent: &Sent) -> bool {
        sent.tracer.map_or(self.tracer.is_some(), |tracer| tracer.is_some())
    }

    fn is_oom_victim(&self, sent: &Sent) -> bool {
        self.oom.is_some_and(|oom| {
            let gap = oom.at.since(sent.at).max(sent.at.since(oom.at));
            gap <= MARK_WITHIN_NS
        })
    }

    /// Returns the cause if `force_sig()` or a similar function sent the signal, with a positive `si_code`.
    fn forced(sent: &Sent) -> (Cause, Option<Missing>) {
        match (sent.signal, sent.code) {
            (SIGSYS, Some(SYS_SECCOMP)) => certain(Cause::Seccomp),
            (SIGSEGV, Some(SI_KERNEL)) => match sent.in_execve {
                Some(true) => certain(Cause::FailedExec),
                Some(false) => certain(Cause::Fault),
                None => likely(Cause::Fault, Missing::FailedExec),
            },
            (SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP, _) => certain(Cause::Fault),
            _ => likely(Cause::Kernel, Missing::KernelReason),
        }
    }

    /// Returns the cause if a process sent the signal by a system call.
    fn by_process(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        if sent.is_from_itself() {
            let by_abort = sent.signal == SIGABRT && sent.code == Some(SI_TKILL);
            return certain(if by_abort { Cause::Abort } else { Cause::KilledByItself });
        }
        if sent.is_from_kernel_thread() {
            return likely(Cause::Kernel, Missing::KernelReason);
        }
        if sent.sender.name.is_some_and(|name| name.bytes() == b"timeout") {
            return likely(Cause::Timeout, Missing::NameOnly);
        }
        let is_request = |earlier: &Sent| matches!(earlier.signal, SIGTERM | SIGINT | SIGQUIT | SIGHUP);
        let earlier = self.sent.get(..at).unwrap_or_default();
        if sent.signal != SIGKILL {
            return certain(Cause::Killed);
        }
        if earlier.iter().any(|earlier| is_request(earlier) && earlier.is_from_same_process(sent)) {
            return certain(Cause::Escalation);
        }
        // A container engine starts its runtime once for each signal.
        if earlier.iter().any(|earlier| is_request(earlier) && earlier.is_from_sibling(sent)) {
            return likely(Cause::Escalation, Missing::OneSender);
        }
        certain(Cause::Killed)
    }
}

const fn unseen((cause, missing): (Cause, Option<Missing>)) -> Conclusion {
    Conclusion { cause, missing, by: None }
}
