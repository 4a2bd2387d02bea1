//! What keeps a process from running: another process, a limit on CPU time, a frozen cgroup, its terminal.

use super::Named;
use lineage::id::Tid;

/// A pipe that a thread waits to read from, and a process that still has it open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeRead {
    /// The thread.
    pub tid: Tid,
    /// Its descriptor of the pipe.
    pub fd: u32,
    /// The process that has the pipe open for writing and is younger than the reader.
    pub writer: Named,
}

/// A call in which a thread is blocked until another process acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCall {
    /// The thread.
    pub tid: Tid,
    /// What it waits for.
    pub on: HeldOn,
    /// The process that holds that lock, or has that pipe open for reading.
    pub by: Option<Named>,
}

/// What a thread waits for until another process acts, with its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldOn {
    /// A file lock.
    Lock(u32),
    /// Room in a pipe that is full.
    Pipe(u32),
    /// Room in the queue of a socket's receiver.
    Socket(u32),
    /// The other end of a FIFO that it opens.
    Fifo,
}

/// The limit on CPU time of a cgroup that has used it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Path of the cgroup.
    pub cgroup: String,
    /// CPU time that its tasks may use in a period, and that period, us.
    pub quota_us: u64,
    /// See [`Self::quota_us`].
    pub period_us: u64,
    /// Periods so far in which its tasks had to wait (`nr_throttled` in cpu.stat).
    pub throttled: u64,
    /// All periods so far (`nr_periods`).
    pub periods: u64,
    /// The command that removes the limit.
    pub lift: String,
}

/// What a process was doing with its controlling terminal when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalAccess {
    /// It reads: `SIGTTIN` stops a process that is in the background.
    Read,
    /// It writes: `SIGTTOU` stops a background process if the terminal is set to `tostop`.
    Write,
    /// It sets the terminal: `SIGTTOU` always stops a background process.
    Set,
    /// Its system call does not access the terminal.
    Other,
}

/// A stopped process that is in the background of its controlling terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackgroundStop {
    /// Path of the terminal, by its device number: `/dev/pts/3`.
    pub terminal: String,
    /// Its process group, and that of the terminal's foreground (`pgrp` and `tpgid` in /proc/PID/stat).
    pub groups: (u32, i32),
    /// The leader of its session, usually a shell.
    pub shell: Option<Named>,
    /// What it was doing with the terminal; `None` means not readable.
    pub access: Option<TerminalAccess>,
}

impl Throttled {
    /// The limit in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { cgroup, quota_us, period_us, throttled, periods, .. } = self;
        format!(
            "it is ready to run and did not run for 30 ms: its cgroup {cgroup} may use {quota_us} us of CPU time in {period_us} us, and was held to that in {throttled} of {periods} periods"
        )
    }
}

/// A cgroup that is frozen, with all tasks in it and below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Path of the cgroup that is set to frozen: the process's own or an ancestor of it.
    pub cgroup: String,
    /// Whether all its tasks are frozen; before that the kernel is still freezing them.
    pub is_settled: bool,
    /// Whether a kill ends a frozen task: in the v2 hierarchy it does.
    pub is_killable: bool,
    /// Commands that thaw it.
    pub thaw: String,
}
