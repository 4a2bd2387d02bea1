//! The input of a verdict: lives from the lineage, and what /proc shows of the processes concerned at the time of the question.

use crate::duration::duration;
use lineage::Life;
use lineage::flags::{PF_SIGNALED, SIGCHLD, SIGKILL, SIGTERM};
use lineage::id::{GroupKey, Ktime, Tid};

/// `__WNOTHREAD` of wait(2): only children of the calling thread itself.
pub const WNOTHREAD: u32 = 0x2000_0000;
/// `__WALL`: children of either kind.
pub const WALL: u32 = 0x4000_0000;
/// `__WCLONE`: only children whose exit signal is not SIGCHLD.
pub const WCLONE: u32 = 0x8000_0000;

/// A set of signals in the format of the masks in /proc/PID/status: bit N - 1 is signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub u64);

impl Signals {
    /// Whether the set has this signal; false for numbers outside 1 to 64.
    #[must_use]
    pub const fn has(self, signal: i32) -> bool {
        signal > 0 && signal <= 64 && self.0 & (1 << (signal - 1)) != 0
    }
}

/// The children that a wait(2) reaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any child.
    Any,
    /// One child, by its pid in the caller's pid namespace.
    Pid(u32),
    /// A process group; 0 is the caller's own.
    ProcessGroup(u32),
    /// The child behind a pidfd (`P_PIDFD`).
    Pidfd,
}

/// A wait(2) that a thread is in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitCall {
    /// The children that it reaps.
    pub target: WaitTarget,
    /// Its options: [`WNOTHREAD`], [`WALL`], [`WCLONE`] and others.
    pub options: u32,
    /// Whether it reaps dead children: wait4(2) always does, waitid(2) only with `WEXITED`.
    pub exited: bool,
}

/// The system call that a thread is in, from /proc/PID/task/TID/syscall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// On a CPU, or about to be.
    Running,
    /// wait4(2) or waitid(2).
    Wait(WaitCall),
    /// vfork(2), or a clone(2) that may be one: a thread that sleeps in it waits for its child.
    Vfork,
    /// `rt_sigtimedwait(2)`, which sigwait(3) calls, and the signals it waits for where they could be read.
    SignalWait(Option<Signals>),
    /// read(2) from this descriptor, or a call like it: recv(2), accept(2).
    Read(u32),
    /// write(2) to this descriptor, or a call like it: send(2), connect(2).
    Write(u32),
    /// flock(2) of this descriptor, or a fcntl(2) of it that waits for a lock.
    Lock(u32),
    /// ioctl(2) of this descriptor that sets a terminal, as tcsetattr(3) and tcsetpgrp(3) call it.
    SetTerminal(u32),
    /// futex(2) without a timeout, which pthread mutexes, conditions and semaphores call.
    Futex,
    /// poll(2) or ppoll(2) without a mask: the address of its descriptors, and how many they are.
    Poll(u64, u32),
    /// A call that sets another signal mask until it returns: ppoll(2), pselect6(2), `epoll_pwait(2)`, `rt_sigsuspend(2)`.
    TemporaryMask,
    /// open(2) or a call like it, which waits where the file is a FIFO.
    Open,
    /// `io_uring_enter(2)` that waits for completions.
    Ring,
    /// Another system call, or none.
    Other,
}

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
    /// It reads: `SIGTTIN` stops a process of the background.
    Read,
    /// It writes: `SIGTTOU` does so if the terminal is set to `tostop`.
    Write,
    /// It sets the terminal: `SIGTTOU` always does so.
    Set,
    /// Its system call is about something else.
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
    /// That it is stopped in the background of a terminal.
    pub background: Option<BackgroundStop>,
    /// The pipe that it waits to read from; only read if it has a zombie.
    pub pipe_read: Option<PipeRead>,
    /// The call in which another process holds it; only read if it has a zombie.
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

    /// Whether its stop in state T is not one that lasts: it was continued between two polls.
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
    /// sleep in state D (`TASK_KILLABLE`).
    #[must_use]
    pub fn kill_command(&self) -> &'static str {
        let is_held = |thread: &ThreadFacts| {
            matches!(thread.state, Some(b'T' | b't' | b'D'))
                || thread.blocked.is_some_and(|blocked| blocked.has(SIGTERM))
        };
        let ignores = self.ignored.is_some_and(|ignored| ignored.has(SIGTERM));
        if ignores || self.live().all(is_held) { "kill -9" } else { "kill" }
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

/// A process as texts name it: `name (pid N)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its tgid and start time.
    pub key: GroupKey,
    /// Its comm, any byte but NUL.
    pub name: Option<Vec<u8>>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} (pid {})", String::from_utf8_lossy(name), self.key.tgid),
            None => write!(f, "pid {}", self.key.tgid),
        }
    }
}

impl From<&Life> for Named {
    fn from(life: &Life) -> Self {
        Self { key: life.key, name: life.name.map(|name| name.bytes().to_vec()) }
    }
}

/// A process with everything that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its life.
    pub life: Life,
    /// What /proc shows, or why it could not be read.
    pub process: Result<ProcessFacts, String>,
}

impl Known {
    /// Returns it as texts name it.
    #[must_use]
    pub fn named(&self) -> Named {
        Named::from(&self.life)
    }

    /// Returns what /proc shows, if it could be read.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessFacts> {
        self.process.as_ref().ok()
    }

    /// Returns the level of its pid namespace if it is pid 1 there; 0 is the initial namespace.
    #[must_use]
    pub fn init_of_level(&self) -> Option<u32> {
        if let Some(own) = self.life.namespace
            && own.vtgid.unwrap_or(own.vtid) == 1
        {
            return Some(own.level);
        }
        if self.life.key.tgid.0 == 1 {
            return Some(0);
        }
        let pids = &self.process()?.namespace_pids;
        (pids.last() == Some(&1)).then(|| u32::try_from(pids.len()).unwrap_or(1).saturating_sub(1))
    }
}

/// A process that keeps another from ending.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    /// The process.
    pub process: Named,
    /// Whether it is a zombie.
    pub is_zombie: bool,
    /// Its parent.
    pub parent: Option<Named>,
}

/// A process with its parent's thread and its tracer, which decide who can reap it.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The process.
    pub known: Known,
    /// The thread of its parent that is its `real_parent`.
    pub parent_thread: Option<Tid>,
    /// Its tracer.
    pub tracer: Option<Named>,
    /// The tracer's state letter.
    pub tracer_state: Option<u8>,
}

/// A vforked child that holds its parent, and what holds the child.
#[derive(Clone, Debug, PartialEq)]
pub struct VforkChild {
    /// The child.
    pub named: Named,
    /// What /proc shows of it.
    pub process: Option<ProcessFacts>,
    /// Its tracer.
    pub tracer: Option<Named>,
}

/// The input of a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The present time, on `CLOCK_BOOTTIME`.
    pub now: Ktime,
    /// Since when all tasks have been observed; `None` for a snapshot.
    pub observed_since: Option<Ktime>,
    /// The process that the verdict is about.
    pub subject: Child,
    /// Its parent, if the parent lives.
    pub parent: Option<Known>,
    /// Its oldest zombie child.
    pub owed: Option<Child>,
    /// The tracer of its parent, with its state letter.
    pub parents_tracer: Option<(Named, Option<u8>)>,
    /// The vforked child that holds it.
    pub vfork_child: Option<VforkChild>,
    /// The vforked child that holds its parent.
    pub parents_vfork_child: Option<VforkChild>,
    /// What an exiting init of a pid namespace waits for.
    pub obstacles: Vec<Obstacle>,
    /// The process that would become the parent of the children if their parent ended, if known.
    pub new_reaper: Option<Named>,
}
