//! The kinds of verdicts.

/// The kind of verdict. Its name ([`Code::name`]) is stable: `verdict.code` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The parent has never waited for a child.
    NeverWaits,
    /// The parent is stopped by a signal.
    ParentStopped,
    /// The parent is stopped by its tracer.
    ParentTraced,
    /// The parent is frozen with its cgroup.
    ParentFrozen,
    /// The parent sleeps uninterruptibly.
    ParentInDState,
    /// The limit on CPU time of its cgroup keeps the parent from running.
    ParentThrottled,
    /// The parent is held by a child that it vforked.
    ParentHeldByVfork,
    /// The parent is in `do_exit()` itself.
    ParentExiting,
    /// The parent called exec after it had forked this child.
    ForkedBeforeExec,
    /// The parent blocks SIGCHLD.
    SigchldBlocked,
    /// The parent blocks SIGCHLD, possibly only during its current system call.
    SigchldBlockedForNow,
    /// The parent does not read its signalfd for SIGCHLD.
    SignalfdNotRead,
    /// A thread is in sigwait(3) for SIGCHLD, but the kernel drops the signal because the thread that forked does not block it.
    SigwaitNeverReturns,
    /// The parent reaps one child per SIGCHLD, but the kernel merges pending signals.
    SigchldCoalesced,
    /// The parent ignores SIGCHLD, but did not ignore it when the child died.
    IgnoredTooLate,
    /// A plain wait does not see a child with this exit signal.
    ExitSignal,
    /// A tracer has to wait for it first (ptrace(2)).
    HeldByTracer,
    /// Init of a pid namespace that does not reap.
    ContainerInit,
    /// Pid 1 of the host does not reap.
    Init,
    /// It was reparented to a subreaper that does not reap.
    Subreaper,
    /// The parent's thread waits with `__WNOTHREAD`, and another thread is the parent.
    WaitNoThread,
    /// The parent waits for another child only.
    WaitsForAnother,
    /// The parent waits for children that stop or continue only.
    WaitWithoutWexited,
    /// The parent reads from a pipe that another process holds open, and waits after that.
    ReadsOutputFirst,
    /// The parent is in a write, or in a wait for a lock, that only another process can end.
    BlockedElsewhere,
    /// The parent waits for some children, but not for this one.
    NotWaitedFor,
    /// It died a moment ago; the parent may be about to wait.
    JustDied,
    /// The reason is not known.
    Unknown,
    /// Not a zombie: the main thread has ended, others live.
    DeadLeader,
    /// `do_exit()` does not end.
    ExitStuck,
    /// SIGKILL was sent, and the kernel or a tracer keeps a thread from ending.
    KilledButBlocked,
    /// Frozen with its cgroup.
    Frozen,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by its tracer.
    StoppedByTracer,
    /// Held by a child that it vforked.
    HeldByVfork,
    /// Sleeps uninterruptibly.
    InDState,
    /// It is alive, and a limit on pids is full: its next fork fails.
    CannotFork,
    /// It is alive, and its threads only grow.
    ThreadsOnlyGrow,
    /// It is alive, and starts a program again and again that ends quickly.
    RespawnLoop,
    /// It is alive, and it forks too fast, or the processes that descend from it do.
    ForkStorm,
    /// It is alive, and has outlived the session that it was started in.
    OutlivesSession,
    /// It is alive and has not waited for its zombies.
    OwesWaits,
    /// It is alive, and no problem is visible.
    Alive,
    /// Reaped by a wait.
    Reaped,
    /// Released by the kernel without a wait, because the parent ignores SIGCHLD.
    Autoreaped,
    /// Released; how is not known.
    Gone,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 46] = [
        Self::NeverWaits,
        Self::ParentStopped,
        Self::ParentTraced,
        Self::ParentFrozen,
        Self::ParentInDState,
        Self::ParentThrottled,
        Self::ParentHeldByVfork,
        Self::ParentExiting,
        Self::ForkedBeforeExec,
        Self::SigchldBlocked,
        Self::SigchldBlockedForNow,
        Self::SignalfdNotRead,
        Self::SigwaitNeverReturns,
        Self::SigchldCoalesced,
        Self::IgnoredTooLate,
        Self::ExitSignal,
        Self::HeldByTracer,
        Self::ContainerInit,
        Self::Init,
        Self::Subreaper,
        Self::WaitNoThread,
        Self::WaitsForAnother,
        Self::WaitWithoutWexited,
        Self::ReadsOutputFirst,
        Self::BlockedElsewhere,
        Self::NotWaitedFor,
        Self::JustDied,
        Self::Unknown,
        Self::DeadLeader,
        Self::ExitStuck,
        Self::KilledButBlocked,
        Self::Frozen,
        Self::Stopped,
        Self::StoppedByTracer,
        Self::HeldByVfork,
        Self::InDState,
        Self::CannotFork,
        Self::ThreadsOnlyGrow,
        Self::RespawnLoop,
        Self::ForkStorm,
        Self::OutlivesSession,
        Self::OwesWaits,
        Self::Alive,
        Self::Reaped,
        Self::Autoreaped,
        Self::Gone,
    ];

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().0
    }

    /// The reason in a few words, for a column of a table: at most 40 bytes.
    #[must_use]
    pub const fn words(self) -> &'static str {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::NeverWaits => ("never_waits", "never waits"),
            Self::ParentStopped => ("parent_stopped", "parent is stopped"),
            Self::ParentTraced => ("parent_stopped_by_tracer", "parent is stopped by its tracer"),
            Self::ParentFrozen => ("parent_frozen", "parent is frozen"),
            Self::ParentInDState => ("parent_in_d_state", "parent is in D state"),
            Self::ParentThrottled => ("parent_throttled", "parent gets no CPU time"),
            Self::ParentHeldByVfork => ("parent_held_by_vfork", "parent is held by a vfork"),
            Self::ParentExiting => ("parent_exiting", "parent is exiting itself"),
            Self::ForkedBeforeExec => ("forked_before_exec", "forked before its parent's exec"),
            Self::SigchldBlocked => ("sigchld_blocked", "blocks SIGCHLD"),
            Self::SigchldBlockedForNow => ("sigchld_blocked_for_now", "blocks SIGCHLD for now"),
            Self::SignalfdNotRead => ("signalfd_not_read", "does not read its signalfd"),
            Self::SigwaitNeverReturns => ("sigwait_never_returns", "sigwait() never sees SIGCHLD"),
            Self::SigchldCoalesced => ("sigchld_coalesced", "reaps one child per SIGCHLD"),
            Self::IgnoredTooLate => ("sigchld_ignored_too_late", "ignored SIGCHLD too late"),
            Self::ExitSignal => ("exit_signal_not_sigchld", "exit signal is not SIGCHLD"),
            Self::HeldByTracer => ("held_by_tracer", "held by a tracer"),
            Self::ContainerInit => ("container_init_does_not_reap", "container's init does not reap"),
            Self::Init => ("init_does_not_reap", "init does not reap"),
            Self::Subreaper => ("subreaper_does_not_reap", "subreaper does not reap orphans"),
            Self::WaitNoThread => ("wait_nothread", "another thread waits, with __WNOTHREAD"),
            Self::WaitsForAnother => ("waits_for_another", "waits for another child only"),
            Self::WaitWithoutWexited => ("wait_without_wexited", "waits without WEXITED"),
            Self::ReadsOutputFirst => ("reads_output_first", "reads a pipe before it waits"),
            Self::BlockedElsewhere => ("blocked_elsewhere", "blocked in another call"),
            Self::NotWaitedFor => ("not_waited_for", "waits, but not for these"),
            Self::JustDied => ("just_died", "died just now"),
            Self::Unknown => ("unknown", "not known"),
            Self::DeadLeader => ("dead_leader", "main thread ended, others live"),
            Self::ExitStuck => ("exit_stuck", "exit does not end"),
            Self::KilledButBlocked => ("killed_but_blocked", "killed, a thread cannot end"),
            Self::Frozen => ("frozen", "frozen"),
            Self::Stopped => ("stopped", "stopped"),
            Self::StoppedByTracer => ("stopped_by_tracer", "stopped by its tracer"),
            Self::HeldByVfork => ("held_by_vfork", "held by its vfork child"),
            Self::InDState => ("in_d_state", "in D state"),
            Self::CannotFork => ("cannot_fork", "cannot fork: a limit is full"),
            Self::ThreadsOnlyGrow => ("threads_only_grow", "its threads only grow"),
            Self::RespawnLoop => ("respawn_loop", "starts a program again and again"),
            Self::ForkStorm => ("fork_storm", "forks too fast"),
            Self::OutlivesSession => ("outlives_session", "has outlived its session"),
            Self::OwesWaits => ("owes_waits", "has not waited for its zombies"),
            Self::Alive => ("alive", "alive"),
            Self::Reaped => ("reaped", "reaped"),
            Self::Autoreaped => ("autoreaped", "reaped by itself"),
            Self::Gone => ("gone", "gone"),
        }
    }
}
