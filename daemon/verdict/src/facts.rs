//! What a verdict is drawn from: the lives, and what /proc said of the processes concerned when the question came.

use lineage::Life;
use lineage::flags::{PF_SIGNALED, SIGCHLD, SIGKILL, SIGTERM};
use lineage::id::{GroupKey, Ktime, Tid};

/// `__WNOTHREAD` of wait(2): only children of the calling thread itself.
pub const WNOTHREAD: u32 = 0x2000_0000;
/// `__WALL`: children of either kind.
pub const WALL: u32 = 0x4000_0000;
/// `__WCLONE`: only children whose exit signal is not SIGCHLD.
pub const WCLONE: u32 = 0x8000_0000;

/// A set of signals, as the masks of /proc/PID/status have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub u64);

impl Signals {
    /// Whether a signal is in it.
    #[must_use]
    pub const fn has(self, signal: i32) -> bool {
        signal > 0 && signal <= 64 && self.0 & (1 << (signal - 1)) != 0
    }
}

/// Whom a wait(2) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any child.
    Any,
    /// This one, by its pid in the caller's pid namespace.
    Pid(u32),
    /// A process group; 0 is the caller's own.
    ProcessGroup(u32),
    /// The one behind a pidfd.
    Pidfd,
}

/// A wait(2) that a thread sits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitCall {
    /// Whom it takes.
    pub target: WaitTarget,
    /// Its options.
    pub options: u32,
    /// Whether it takes the dead: wait4(2) always does, waitid(2) only with `WEXITED`.
    pub exited: bool,
}

/// What a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// On a CPU, or about to be.
    Running,
    /// wait4(2) or waitid(2).
    Wait(WaitCall),
    /// vfork(2), or a clone(2) that may be one: to sleep in it is to be held by the child.
    Vfork,
    /// `rt_sigtimedwait(2)`, which sigwait(3) calls, and the signals it waits for where they could be read.
    SignalWait(Option<Signals>),
    /// read(2) from this descriptor, or a call like it.
    Read(u32),
    /// write(2) to this descriptor.
    Write(u32),
    /// flock(2) of this descriptor, or a fcntl(2) of it that waits for a lock.
    Lock(u32),
    /// futex(2) without a timeout, which pthread mutexes, conditions and semaphores call.
    Futex,
    /// poll(2) or ppoll(2) without a mask: the address of its descriptors, and how many they are.
    Poll(u64, u32),
    /// A call that sets another signal mask until it returns: ppoll(2), pselect6(2), `epoll_pwait(2)`, `rt_sigsuspend(2)`.
    TemporaryMask,
    /// Another system call, or none.
    Other,
}

/// What /proc says of one thread. `None` is not readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// Which.
    pub tid: Tid,
    /// Its state letter: `S`, `T`, `t`, `D`, ...; `D` only if two looks agreed.
    pub state: Option<u8>,
    /// Signals it blocks; where SIGCHLD was blocked, those blocked at two looks.
    pub blocked: Option<Signals>,
    /// Whether it ran between two looks at its signal mask; `None` where there was one look.
    pub has_run: Option<bool>,
    /// Times that it was switched out.
    pub switches: Option<u64>,
    /// `PF_` bits, of threads in state D or t only.
    pub flags: Option<u32>,
    /// Signals sent to this thread that it has not taken.
    pub pending: Option<Signals>,
    /// Who traces it.
    pub tracer: Option<u32>,
    /// The system call it sits in.
    pub call: Option<Call>,
    /// The kernel function it sleeps in.
    pub wchan: Option<String>,
    /// Of a thread in state D, what its kernel stack says.
    pub sleep: Option<Sleep>,
}

/// A sleep that no ordinary signal ends, as the kernel's task iterator shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// Whether SIGKILL ends it (`TASK_KILLABLE`).
    pub is_killable: bool,
    /// For how long it has been seen in it, at least, ns.
    pub at_least_ns: Option<u64>,
    /// What it waits for, where its kernel stack tells.
    pub waits_for: Option<String>,
    /// Who can help then.
    pub remedy: Option<String>,
}

/// A pipe that a thread waits to read from, and a process that still holds its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeRead {
    /// The thread.
    pub tid: Tid,
    /// Its descriptor of the pipe.
    pub fd: u32,
    /// Who has that pipe open for writing, and began after the reader.
    pub writer: Named,
}

/// A call that a thread sits in until another process acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCall {
    /// The thread.
    pub tid: Tid,
    /// Its descriptor.
    pub fd: u32,
    /// Whether it waits for a file lock; else it writes to a pipe that is full.
    pub is_lock: bool,
    /// Who holds that lock, or has that pipe open for reading.
    pub by: Option<Named>,
}

impl ThreadFacts {
    /// The call that it sits in until somebody else acts, in words.
    #[must_use]
    pub fn held_in(&self) -> Option<String> {
        match self.call? {
            Call::Read(fd) => Some(format!("read(2) of descriptor {fd}, or a call like it")),
            Call::Write(fd) => Some(format!("write(2) to descriptor {fd}")),
            Call::Lock(fd) => Some(format!("a wait for a lock of descriptor {fd}")),
            Call::Futex => Some("futex(2), a wait for another thread".into()),
            _ => None,
        }
    }

    /// For how long it has been in state D, as evidence.
    #[must_use]
    pub fn asleep_for(&self) -> Option<String> {
        let ns = self.sleep.as_ref()?.at_least_ns?;
        Some(format!("thread {} has been in that sleep for {} at least", self.tid, crate::duration(ns)))
    }

    /// Whether it can still do anything.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.state, Some(b'Z' | b'X' | b'x'))
    }

    /// Whether SIGKILL was sent to its process: `complete_signal()` adds it to the pending signals of each thread.
    #[must_use]
    pub fn has_sigkill(&self) -> bool {
        self.pending.is_some_and(|pending| pending.has(SIGKILL))
    }

    /// Whether a signal ends it: it is still to be taken, or `get_signal()` has taken it and set `PF_SIGNALED`.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.has_sigkill() || self.flags.is_some_and(|flags| flags & PF_SIGNALED != 0)
    }

    /// Who traces it.
    #[must_use]
    pub fn tracer(&self) -> Option<u32> {
        self.tracer.filter(|&tracer| tracer != 0)
    }
}

/// A cgroup that is frozen, with all tasks in it and below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Path of the cgroup that was told to freeze: the process's own or one above it.
    pub cgroup: String,
    /// Whether all tasks have come to rest; until then they are on their way.
    pub is_settled: bool,
    /// Whether a kill ends a frozen task: in the v2 hierarchy it does.
    pub is_killable: bool,
    /// Commands that thaw it.
    pub thaw: String,
}

/// What /proc says of a process. `None` is not readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Signals it ignores.
    pub ignored: Option<Signals>,
    /// Signals it has handlers for.
    pub caught: Option<Signals>,
    /// Signals sent to the process that no thread has taken.
    pub pending: Option<Signals>,
    /// Its pids, from the mounted /proc's namespace down to its own.
    pub namespace_pids: Vec<u32>,
    /// Whether it has waited for any child, by the kernel's accounting of waited-for children.
    pub has_waited: Option<bool>,
    /// Whether it reads SIGCHLD from a signalfd.
    pub signalfd: Option<bool>,
    /// Its program, by what /proc/PID/exe shows.
    pub executable: Option<Vec<u8>>,
    /// Whether it is writing a core dump.
    pub is_dumping_core: bool,
    /// The frozen cgroup that holds it.
    pub frozen: Option<Frozen>,
    /// The pipe that it waits to read from; looked for only where it has a zombie.
    pub pipe_read: Option<PipeRead>,
    /// The call that another process holds it in; looked for only where it has a zombie.
    pub held_call: Option<HeldCall>,
    /// Its threads, the leader first.
    pub threads: Vec<ThreadFacts>,
    /// Threads not looked at, where there are very many.
    pub threads_omitted: usize,
}

impl ProcessFacts {
    /// Threads that can still do anything.
    pub fn live(&self) -> impl Iterator<Item = &ThreadFacts> {
        self.threads.iter().filter(|thread| thread.is_live())
    }

    /// The state letter that all live threads share.
    #[must_use]
    pub fn common_state(&self) -> Option<u8> {
        let mut states = self.live().map(|thread| thread.state);
        let first = states.next()??;
        (self.threads_omitted == 0 && states.all(|state| state == Some(first))).then_some(first)
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

    /// What ends it: `kill`, or `kill -9` where SIGTERM would stay pending or be ignored. A sleep in state D that a signal ends at all
    /// (`TASK_KILLABLE`) is ended by SIGKILL only.
    #[must_use]
    pub fn kill_command(&self) -> &'static str {
        let is_held = |thread: &ThreadFacts| {
            matches!(thread.state, Some(b'T' | b't' | b'D'))
                || thread.blocked.is_some_and(|blocked| blocked.has(SIGTERM))
        };
        let ignores = self.ignored.is_some_and(|ignored| ignored.has(SIGTERM));
        if ignores || self.live().all(is_held) { "kill -9" } else { "kill" }
    }

    /// Whether no thread of it can do anything any more.
    #[must_use]
    pub fn is_all_dead(&self) -> bool {
        !self.threads.is_empty() && self.threads_omitted == 0 && self.live().next().is_none()
    }

    /// A live thread to which SIGKILL was sent and which has not ended; the one that explains most comes first.
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

    /// The waits that its threads sit in.
    pub fn waits(&self) -> impl Iterator<Item = (&ThreadFacts, WaitCall)> {
        self.live().filter_map(|thread| match thread.call {
            Some(Call::Wait(wait)) => Some((thread, wait)),
            _ => None,
        })
    }
}

/// A process, as a sentence names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which.
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

/// A process with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its life.
    pub life: Life,
    /// What /proc says; an error says why there is nothing.
    pub process: Result<ProcessFacts, String>,
}

impl Known {
    /// Its name in a sentence.
    #[must_use]
    pub fn named(&self) -> Named {
        Named::from(&self.life)
    }

    /// What /proc says.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessFacts> {
        self.process.as_ref().ok()
    }

    /// Whether it is pid 1 of a pid namespace, and that namespace's depth.
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
    /// Which.
    pub process: Named,
    /// Whether it is a zombie.
    pub is_zombie: bool,
    /// Its parent.
    pub parent: Option<Named>,
}

/// A process that may wait to be reaped, and who stands between it and that.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The process.
    pub known: Known,
    /// The thread of its parent that is its `real_parent`.
    pub parent_thread: Option<Tid>,
    /// Who traces it.
    pub tracer: Option<Named>,
    /// That one's state letter.
    pub tracer_state: Option<u8>,
}

/// A vforked child that holds its parent, and what holds the child.
#[derive(Clone, Debug, PartialEq)]
pub struct VforkChild {
    /// Which.
    pub named: Named,
    /// What /proc says of it.
    pub process: Option<ProcessFacts>,
    /// Who traces it.
    pub tracer: Option<Named>,
}

/// Everything a verdict is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// When.
    pub now: Ktime,
    /// Since when every task has been observed; `None` where there was only a look at the present.
    pub observed_since: Option<Ktime>,
    /// The process in question.
    pub subject: Child,
    /// Its parent, if that lives.
    pub parent: Option<Known>,
    /// Its oldest zombie child.
    pub owed: Option<Child>,
    /// The vforked child that holds it.
    pub vfork_child: Option<VforkChild>,
    /// The vforked child that holds its parent.
    pub parents_vfork_child: Option<VforkChild>,
    /// What an exiting init of a pid namespace waits for.
    pub obstacles: Vec<Obstacle>,
    /// Who would get the children of the culprit if that ended, where it is known.
    pub new_reaper: Option<Named>,
}
