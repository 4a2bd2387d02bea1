//! What /proc shows of one thread.

use super::call::{Call, Signals};
use crate::duration::duration;
use lineage::flags::{PF_SIGNALED, SIGKILL};
use lineage::id::Tid;

/// What /proc shows of one thread. `None` means not readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// The thread.
    pub tid: Tid,
    /// Its state letter: `S`, `T`, `t`, `D`, ...; `D` only if two polls agree, `T` also if only the first of two shows it.
    pub state: Option<u8>,
    /// Signals that it blocks (`SigBlk`); if SIGCHLD is among them, those blocked at two polls.
    pub blocked: Option<Signals>,
    /// Whether it ran between two polls of its signal mask, or of its state T; `None` after a single poll.
    pub has_run: Option<bool>,
    /// Its context switches so far, voluntary and involuntary.
    pub switches: Option<u64>,
    /// `PF_` bits, of threads in state D or t only.
    pub flags: Option<u32>,
    /// Signals that are pending for this thread (`SigPnd`).
    pub pending: Option<Signals>,
    /// Pid of its tracer (`TracerPid`); 0 if it has none.
    pub tracer: Option<u32>,
    /// The system call that it is in.
    pub call: Option<Call>,
    /// Whether that call waits for events and has no timeout: poll(2), select(2), `epoll_wait(2)`, pause(2).
    pub awaits_events: bool,
    /// The kernel function in which it sleeps (/proc/PID/wchan).
    pub wchan: Option<String>,
    /// What the kernel stack of a thread in state D shows.
    pub sleep: Option<Sleep>,
}

/// A sleep that no ordinary signal ends, as the kernel's task iterator shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// Whether SIGKILL ends it (`TASK_KILLABLE`).
    pub is_killable: bool,
    /// How long it has been in that sleep at least, ns.
    pub at_least_ns: Option<u64>,
    /// What it waits for, if its kernel stack shows it.
    pub waits_for: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl ThreadFacts {
    /// Returns the call in which it is blocked until another process acts, in words.
    #[must_use]
    pub fn held_in(&self) -> Option<String> {
        match self.call? {
            Call::Read(fd) => {
                Some(format!("read(2) of descriptor {fd}, or a call like it (recv(2), accept(2))"))
            }
            Call::Write(fd) => {
                Some(format!("write(2) to descriptor {fd}, or a call like it (send(2), connect(2))"))
            }
            Call::Open => {
                Some("open(2), which waits for the other end of a FIFO, or for a file system".into())
            }
            Call::Ring => {
                Some("io_uring_enter(2), where it may wait for a child too (IORING_OP_WAITID)".into())
            }
            Call::Lock(fd) => Some(format!("a wait for a lock of descriptor {fd}")),
            Call::Futex => Some("futex(2), a wait for another thread".into()),
            _ => None,
        }
    }

    /// Returns how long it has been in state D, as evidence.
    #[must_use]
    pub fn asleep_for(&self) -> Option<String> {
        let ns = self.sleep.as_ref()?.at_least_ns?;
        Some(format!("thread {} has been in that sleep for {} at least", self.tid, duration(ns)))
    }

    /// Whether it is alive: its state is not Z or X.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.state, Some(b'Z' | b'X' | b'x'))
    }

    /// Whether SIGKILL was sent to its process: `complete_signal()` adds it to the pending signals of each thread.
    #[must_use]
    pub fn has_sigkill(&self) -> bool {
        self.pending.is_some_and(|pending| pending.has(SIGKILL))
    }

    /// Whether a signal ends it: SIGKILL is pending, or `get_signal()` has dequeued a fatal signal and set `PF_SIGNALED`.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.has_sigkill() || self.flags.is_some_and(|flags| flags & PF_SIGNALED != 0)
    }

    /// Returns the pid of its tracer; `None` if it has none.
    #[must_use]
    pub fn tracer(&self) -> Option<u32> {
        self.tracer.filter(|&tracer| tracer != 0)
    }
}
