//! Causes of signals that the kernel sent, on its own behalf or as a consequence of what a task did.

use super::{Case, certain, likely, unknown};
use crate::model::death::{Cause, Missing, Sent};
use crate::model::flags::{
    SI_KERNEL, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP,
    SIGXCPU, SIGXFSZ,
};
use crate::model::record::CpuLimits;

/// `SYS_SECCOMP`.
const SYS_SECCOMP: i32 = 1;

/// The mark of an out-of-memory victim follows its SIGKILL within microseconds; a preempted killer takes longer.
const MARK_WITHIN_NS: u64 = 1_000_000_000;

impl Case<'_> {
    /// Returns the cause if the kernel sent the signal without a `siginfo`, as a consequence of what the current task did.
    pub(super) fn on_behalf(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        match (sent.signal, sent.is_from_itself()) {
            (SIGPIPE, true) if !sent.to_group => certain(Cause::BrokenPipe),
            (SIGXFSZ, true) if !sent.to_group => certain(Cause::FileSizeLimit),
            (_, false) if sent.to_group && sent.is_sender_exiting() => certain(Cause::ParentDeathSignal),
            // cgroup_post_fork(): `cgroup.kill` was written while the parent forked.
            (SIGKILL, false) if sent.to_group && self.is_being_forked(sent) => {
                likely(Cause::CgroupKill, Missing::KernelReason)
            }
            (SIGKILL, true) if sent.to_group && !sent.target.is_leader() => {
                likely(Cause::CgroupKill, Missing::KernelReason)
            }
            (_, false) if sent.is_from_kernel_thread() => likely(Cause::Kernel, Missing::KernelReason),
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
    pub(super) fn by_kernel(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        let is_own = sent.is_from_itself();
        match sent.signal {
            SIGKILL if self.is_oom_victim(sent) => certain(Cause::Oom),
            // A tracer that resumes a tracee at a system call with a signal lets the tracee send the signal to itself
            // (`ptrace_report_syscall()`). The kernel sends signals for limits to the whole group.
            _ if is_own && !sent.to_group && self.is_traced(sent) => {
                // A BPF program and a memory failure send SIGKILL so too.
                if sent.signal == SIGKILL {
                    likely(Cause::Tracer, Missing::TracerRequest)
                } else {
                    certain(Cause::Tracer)
                }
            }
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
            SIGKILL if is_own && sent.to_group => self.by_hard_limit(sent, at),
            SIGKILL if is_own => likely(Cause::Kernel, Missing::KernelReason),
            SIGKILL if !self.watch.oom && !sent.is_sender_exiting() => likely(Cause::Oom, Missing::OomHook),
            SIGKILL => likely(Cause::Kernel, Missing::SharedMemory),
            SIGXCPU if is_own && sent.to_group => Self::by_cpu_limit(sent),
            SIGHUP => self.by_hangup(sent),
            // The kernel's worker delivers the input of terminals. TIOCSTI, TIOCSIG and BPF programs send the signal too.
            SIGINT | SIGQUIT if sent.is_from_kernel_thread() => certain(Cause::TerminalKey),
            SIGINT | SIGQUIT => likely(Cause::TerminalKey, Missing::KernelReason),
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
            // vhangup(2), or a BPF program
            let is_own = sent.is_from_itself();
            return if is_own { likely(Cause::TerminalHangup, Missing::KernelReason) } else { hung_up };
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

    /// Whether the parent was creating the group when the signal was sent.
    fn is_being_forked(&self, sent: &Sent) -> bool {
        let is_new = self.watch.since.is_some_and(|since| self.began >= since);
        let sender = sent.sender.task.map(|task| task.tgid);
        is_new && sent.is_before_creation && sender.is_some() && sender == self.parent
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
            // The same task sends the signal and marks the victim.
            let is_same = oom.trigger.zip(sent.sender.task).is_none_or(|(trigger, sender)| trigger == sender);
            gap <= MARK_WITHIN_NS && is_same
        })
    }

    /// Returns the cause if `force_sig()` or a similar function sent the signal, with a positive `si_code`.
    pub(super) fn forced(sent: &Sent) -> (Cause, Option<Missing>) {
        match (sent.signal, sent.code) {
            _ if sent.is_of_descriptor() => likely(Cause::Kernel, Missing::SignalCode),
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
}
