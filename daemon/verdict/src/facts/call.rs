//! The system call that a thread is in.

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
