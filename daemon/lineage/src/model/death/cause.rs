//! Why a thread group ended, as stable codes.

/// Why a thread group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It returned from `main` or called `exit(3)`: a status with a code.
    Exited,
    /// Another process sent the signal: kill(2), tgkill(2), `pidfd_send_signal(2)`, sigqueue(3).
    Killed,
    /// It sent the signal to itself.
    KilledByItself,
    /// Another process sent SIGTERM, SIGINT, SIGQUIT or SIGHUP first and SIGKILL later.
    Escalation,
    /// timeout(1) sent the signal to its child.
    Timeout,
    /// A process wrote to `cgroup.kill`.
    CgroupKill,
    /// The out-of-memory killer of a memory cgroup or of the host.
    Oom,
    /// The init of its pid namespace ended.
    PidNamespaceInit,
    /// As the init of a pid namespace, it ended because a process of the namespace called reboot(2).
    NamespaceReboot,
    /// Its parent ended, and it had requested a signal for that by `PR_SET_PDEATHSIG`.
    ParentDeathSignal,
    /// It wrote to a pipe or socket without a reader: SIGPIPE.
    BrokenPipe,
    /// Its terminal was hung up: SIGHUP by the kernel.
    TerminalHangup,
    /// Its process group was orphaned while a process of it was stopped: SIGHUP by the kernel.
    OrphanedGroup,
    /// The interrupt or quit key of its terminal was pressed.
    TerminalKey,
    /// A fault: the CPU or the memory map forbids what it did (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP).
    Fault,
    /// It called abort(3), or an assertion failed in it.
    Abort,
    /// A seccomp filter or seccomp's strict mode ended it.
    Seccomp,
    /// execve(2) failed after the kernel had discarded the old program.
    FailedExec,
    /// It used the CPU for longer than `RLIMIT_CPU` allows.
    CpuLimit,
    /// It exceeded `RLIMIT_RTTIME`: the CPU time that a real-time task may use without a blocking system call.
    RealTimeLimit,
    /// It wrote a file larger than `RLIMIT_FSIZE` allows.
    FileSizeLimit,
    /// The process that traced it ended it.
    Tracer,
    /// The kernel sent the signal, and no record shows the reason.
    Kernel,
    /// The cause is not known; [`Missing`] says why.
    Unknown,
}

impl Cause {
    /// How many causes there are.
    pub const COUNT: usize = 24;

    /// Every cause.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Exited,
        Self::Killed,
        Self::KilledByItself,
        Self::Escalation,
        Self::Timeout,
        Self::CgroupKill,
        Self::Oom,
        Self::PidNamespaceInit,
        Self::NamespaceReboot,
        Self::ParentDeathSignal,
        Self::BrokenPipe,
        Self::TerminalHangup,
        Self::OrphanedGroup,
        Self::TerminalKey,
        Self::Fault,
        Self::Abort,
        Self::Seccomp,
        Self::FailedExec,
        Self::CpuLimit,
        Self::RealTimeLimit,
        Self::FileSizeLimit,
        Self::Tracer,
        Self::Kernel,
        Self::Unknown,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::KilledByItself => "killed_by_itself",
            Self::Escalation => "escalation",
            Self::Timeout => "timeout",
            Self::CgroupKill => "cgroup_kill",
            Self::Oom => "oom",
            Self::PidNamespaceInit => "pid_namespace_init",
            Self::NamespaceReboot => "namespace_reboot",
            Self::ParentDeathSignal => "parent_death_signal",
            Self::BrokenPipe => "broken_pipe",
            Self::TerminalHangup => "terminal_hangup",
            Self::OrphanedGroup => "orphaned_group",
            Self::TerminalKey => "terminal_key",
            Self::Fault => "fault",
            Self::Abort => "abort",
            Self::Seccomp => "seccomp",
            Self::FailedExec => "failed_exec",
            Self::CpuLimit => "cpu_limit",
            Self::RealTimeLimit => "real_time_limit",
            Self::FileSizeLimit => "file_size_limit",
            Self::Tracer => "tracer",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

/// The fact without which a cause is not certain, or not known at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The group's status is not known.
    Status,
    /// The hook of signals is not attached.
    SignalHook,
    /// The signal is not one of those that are watched.
    NotWatched,
    /// The group began before the daemon, so the signal may have been sent before it too.
    BeforeDaemon,
    /// Records of signals were lost or shed while it lived.
    RecordsLost,
    /// The kernel reported no such signal.
    NotGenerated,
    /// Kernels before 5.16 end a task for a seccomp filter without generating a signal, and strict mode always does; no record
    /// shows the filter or the mode.
    SeccompMode,
    /// No record shows whether the tracer passed the signal on or sent it.
    TracerRequest,
    /// The hook of the out-of-memory killer is not attached.
    OomHook,
    /// A process that shares its memory with a victim of the out-of-memory killer looks the same.
    SharedMemory,
    /// A stopped process group that is orphaned gets the same SIGHUP.
    OrphanedGroup,
    /// The leader of a session gets the same signals when its terminal is hung up.
    SessionLeader,
    /// An execve(2) that fails after its point of no return looks the same.
    FailedExec,
    /// The program is known by its name alone.
    NameOnly,
    /// SIGXCPU was not seen before the SIGKILL, and other limits of the kernel look the same.
    NoWarning,
    /// It sent the signal to itself after it had handled the same one; no record shows why its handler did that.
    RaisedAgain,
    /// Two processes sent the two signals; no record shows that their common parent wanted both.
    OneSender,
    /// An `AppArmor` profile in kill mode looks the same.
    SecurityProfile,
    /// More than one CPU time limit may apply to it, or its limits were not read.
    WhichLimit,
    /// No record shows why the kernel sent the signal.
    KernelReason,
    /// The kernel's `si_code` of a timer, a message queue or a file descriptor, which `rt_sigqueueinfo(2)` can set too.
    SignalCode,
}

impl Missing {
    /// Every fact that can be missing.
    pub const ALL: [Self; 21] = [
        Self::Status,
        Self::SignalHook,
        Self::NotWatched,
        Self::BeforeDaemon,
        Self::RecordsLost,
        Self::NotGenerated,
        Self::SeccompMode,
        Self::TracerRequest,
        Self::OomHook,
        Self::SharedMemory,
        Self::OrphanedGroup,
        Self::SessionLeader,
        Self::FailedExec,
        Self::NameOnly,
        Self::NoWarning,
        Self::RaisedAgain,
        Self::OneSender,
        Self::SecurityProfile,
        Self::WhichLimit,
        Self::KernelReason,
        Self::SignalCode,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::SignalHook => "signal_hook",
            Self::NotWatched => "not_watched",
            Self::BeforeDaemon => "before_daemon",
            Self::RecordsLost => "records_lost",
            Self::NotGenerated => "not_generated",
            Self::SeccompMode => "seccomp_mode",
            Self::TracerRequest => "tracer_request",
            Self::OomHook => "oom_hook",
            Self::SharedMemory => "shared_memory",
            Self::OrphanedGroup => "orphaned_group",
            Self::SessionLeader => "session_leader",
            Self::FailedExec => "failed_exec",
            Self::NameOnly => "name_only",
            Self::NoWarning => "no_warning",
            Self::RaisedAgain => "raised_again",
            Self::OneSender => "one_sender",
            Self::SecurityProfile => "security_profile",
            Self::WhichLimit => "which_limit",
            Self::KernelReason => "kernel_reason",
            Self::SignalCode => "signal_code",
        }
    }

    /// Returns a sentence about what is missing.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Status => "its wait(2) status is not known",
            Self::SignalHook => "the hook signal_generate is not attached, so no sender is known",
            Self::NotWatched => "this signal is not watched",
            Self::BeforeDaemon => "it began before taskscope, so the signal may have been sent before it too",
            Self::RecordsLost => "records of signals were lost or shed while it lived",
            Self::NotGenerated => "no such signal to it was reported in the last ten minutes",
            Self::SeccompMode => "no record shows a seccomp filter or mode; the kernel generated no signal",
            Self::TracerRequest => "no record shows whether a tracer killed it by ptrace(2)",
            Self::OomHook => "the hook mark_victim is not attached",
            Self::SharedMemory => "a process that shares memory with an out-of-memory victim looks the same",
            Self::OrphanedGroup => "a stopped process group that is orphaned gets the same signal",
            Self::SessionLeader => {
                "the leader of a session gets the same signals when its terminal is hung up"
            }
            Self::FailedExec => "an execve that fails after its point of no return looks the same",
            Self::NameOnly => "the sender is known as timeout by its name alone",
            Self::NoWarning => "no SIGXCPU was seen before",
            Self::RaisedAgain => "why its handler did so is not visible",
            Self::OneSender => "two processes of the same parent sent the two signals",
            Self::SecurityProfile => "an AppArmor profile in kill mode looks the same",
            Self::WhichLimit => "more than one CPU time limit may apply to it",
            Self::KernelReason => "no record shows why the kernel did so",
            Self::SignalCode => "a process can send a signal with this si_code too",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_code_of_its_own() {
        let mut codes: Vec<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Cause::COUNT);
        let mut missing: Vec<_> = Missing::ALL.iter().map(|missing| missing.code()).collect();
        missing.sort_unstable();
        missing.dedup();
        assert_eq!(
            (missing.len(), Missing::SignalCode as usize + 1),
            (Missing::ALL.len(), Missing::ALL.len())
        );
    }
}
