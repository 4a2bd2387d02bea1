//! What /proc shows of a process.

use super::call::{Call, Signals, WaitCall};
use super::obstruction::{BackgroundStop, Frozen, HeldCall, PipeRead, Throttled};
use super::thread::ThreadFacts;
use lineage::flags::{SIGCHLD, SIGTERM};

/// What /proc shows of a process. `None` means not readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Signals it ignores.
    pub ignored: Option<Signals>,
    /// Signals it has handlers for.
    pub caught: Option<Signals>,
    /// Signals that are pending for the process (`ShdPnd`).
    pub pending: Option<Signals>,
    /// Its pids, from the mounted /proc's namespace down to its own.
    pub namespace_pids: Vec<u32>,
    /// Whether it has waited for any child, by cutime and cminflt in /proc/PID/stat.
    pub has_waited: Option<bool>,
    /// Whether it reads SIGCHLD from a signalfd.
    pub signalfd: Option<bool>,
    /// Path of its program (/proc/PID/exe).
    pub executable: Option<Vec<u8>>,
    /// Whether it is writing a core dump.
    pub is_dumping_core: bool,
    /// The frozen cgroup that holds it.
    pub frozen: Option<Frozen>,
    /// The cgroup whose limit on CPU time keeps it from running; looked for only where a thread is in state R and does not run.
    pub throttled: Option<Throttled>,
    /// The terminal in whose background it is stopped, if it is.
    pub background: Option<BackgroundStop>,
    /// The pipe that it waits to read from; only read if it has a zombie.
    pub pipe_read: Option<PipeRead>,
    /// The call in which it is blocked until another process acts; only read if it has a zombie.
    pub held_call: Option<HeldCall>,
    /// Its threads, the leader first.
    pub threads: Vec<ThreadFacts>,
    /// Number of threads that were not read because there are too many.
    pub threads_omitted: usize,
}

impl ProcessFacts {
    /// Returns the live threads.
    pub fn live(&self) -> impl Iterator<Item = &ThreadFacts> {
        self.threads.iter().filter(|thread| thread.is_live())
    }

    /// Returns the state letter that all live threads share; `None` if they differ or not all were read.
    #[must_use]
    pub fn common_state(&self) -> Option<u8> {
        let mut states = self.live().map(|thread| thread.state);
        let first = states.next()??;
        (self.threads_omitted == 0 && states.all(|state| state == Some(first))).then_some(first)
    }

    /// Whether it is stopped and continued in turn: a thread is in state T, and ran between two polls.
    #[must_use]
    pub fn is_stopped_again_and_again(&self) -> bool {
        self.live().any(|thread| thread.state == Some(b'T') && thread.has_run == Some(true))
    }

    /// Whether every live thread blocks SIGCHLD, so that no handler can run.
    #[must_use]
    pub fn blocks_sigchld(&self) -> Option<bool> {
        let mut any = false;
        for thread in self.live() {
            any = true;
            if !thread.blocked?.has(SIGCHLD) {
                return Some(false);
            }
        }
        (any && self.threads_omitted == 0).then_some(true)
    }

    /// Returns the command that ends it: `kill`, or `kill -9` if SIGTERM would stay pending or be ignored. Only SIGKILL ends a killable
    /// sleep in state D (`TASK_KILLABLE`), and the init of a pid namespace that has no handler (`sig_task_ignored()`).
    #[must_use]
    pub fn kill_command(&self) -> &'static str {
        let is_held = |thread: &ThreadFacts| {
            matches!(thread.state, Some(b'T' | b't' | b'D'))
                || thread.blocked.is_some_and(|blocked| blocked.has(SIGTERM))
        };
        let ignores = self.ignored.is_some_and(|ignored| ignored.has(SIGTERM));
        let is_init = self.namespace_pids.len() > 1 && self.namespace_pids.last() == Some(&1);
        let drops = is_init && self.caught.is_some_and(|caught| !caught.has(SIGTERM));
        if ignores || drops || self.live().all(is_held) { "kill -9" } else { "kill" }
    }

    /// Whether all its threads are dead.
    #[must_use]
    pub fn is_all_dead(&self) -> bool {
        !self.threads.is_empty() && self.threads_omitted == 0 && self.live().next().is_none()
    }

    /// Returns a live thread that SIGKILL has not ended yet; one in state D first, then one stopped by a tracer.
    #[must_use]
    pub fn killed_thread(&self) -> Option<&ThreadFacts> {
        let rank = |thread: &&ThreadFacts| match thread.state {
            Some(b'D') => 0,
            Some(b't') => 1,
            _ => 2,
        };
        self.live().filter(|thread| thread.is_killed()).min_by_key(rank)
    }

    /// Whether a live thread is in a call that sets another signal mask until it returns.
    #[must_use]
    pub fn has_temporary_mask(&self) -> bool {
        self.live().any(|thread| thread.call == Some(Call::TemporaryMask))
    }

    /// Returns the threads that are in a wait(2), with that call.
    pub fn waits(&self) -> impl Iterator<Item = (&ThreadFacts, WaitCall)> {
        self.live().filter_map(|thread| match thread.call {
            Some(Call::Wait(wait)) => Some((thread, wait)),
            _ => None,
        })
    }
}
