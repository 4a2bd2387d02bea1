//! System calls, each with a name for its failure. Most `unsafe` calls of the scenarios are here.

use std::{ffi::CString, io};

use crate::fact::{die, die_with};

pub(crate) type Pid = libc::pid_t;

/// Size of the stack of a task that shares its creator's memory. The stack is never freed.
const STACK_BYTES: usize = 256 * 1024;

pub(crate) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Returns `CLOCK_BOOTTIME`, ns: the clock of the kernel's start times.
pub(crate) fn now_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `time`, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

pub(crate) fn getpid() -> Pid {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::getpid() }
}

pub(crate) fn getppid() -> Pid {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::getppid() }
}

pub(crate) fn gettid() -> Pid {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Ends the whole group, as `_exit` does.
pub(crate) fn exit_group(code: i32) -> ! {
    // SAFETY: the call does not return, and runs no code of this process.
    unsafe { libc::_exit(code) }
}

/// Ends the calling task alone, for which glibc has no function.
pub(crate) fn exit_task(code: i32) -> ! {
    // SAFETY: the call does not return; the thread's memory stays with its group.
    unsafe { libc::syscall(libc::SYS_exit, code) };
    exit_group(71)
}

/// Forks; returns `None` in the child.
pub(crate) fn fork() -> Option<Pid> {
    // SAFETY: glibc's fork leaves its own locks usable in the child, even if the caller has threads.
    match unsafe { libc::fork() } {
        0 => None,
        pid if pid > 0 => Some(pid),
        _ => die("fork"),
    }
}

/// Calls clone(2) without a new stack: like fork, but with these flags and this exit signal. Returns `Ok(None)` in the child.
pub(crate) fn clone(flags: i32, exit_signal: i32) -> Result<Option<Pid>, i32> {
    let word = i64::from(flags) | i64::from(exit_signal);
    // SAFETY: no CLONE_VM is ever passed here, so the child has its own copy of this stack and all memory.
    match unsafe { libc::syscall(libc::SYS_clone, word, 0, 0, 0, 0) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as Pid)),
        _ => Err(errno()),
    }
}

/// Calls clone3(2) with a tid for the child in the caller's pid namespace. Returns `Ok(None)` in the child.
pub(crate) fn clone_with_tid(tid: Pid) -> Result<Option<Pid>, i32> {
    let wanted = [tid];
    // SAFETY: clone_args is plain data for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    args.set_tid = wanted.as_ptr() as u64;
    args.set_tid_size = 1;
    // SAFETY: `args` and the tid it points to outlive the call; without CLONE_VM the child has its own memory.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as Pid)),
        _ => Err(errno()),
    }
}

/// Calls clone(2) with `CLONE_VM` and a new stack. The child shares errno and allocator with its creator: with `CLONE_VFORK` it may
/// do anything; without, `act` may only make plain system calls.
pub(crate) fn clone_vm(flags: i32, act: fn() -> i32) -> Pid {
    extern "C" fn enter(act: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `act` is the function pointer that clone_vm was given, turned to a data pointer and back.
        let act: fn() -> i32 = unsafe { std::mem::transmute(act) };
        exit_group(act())
    }
    let stack = vec![0_u8; STACK_BYTES].leak();
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is never freed, glibc aligns its end, and `enter` never returns.
    let pid = unsafe {
        libc::clone(enter, top.cast(), flags | libc::CLONE_VM | libc::SIGCHLD, act as *mut libc::c_void)
    };
    if pid < 0 { die("clone with CLONE_VM") } else { pid }
}

/// Calls wait4(2); returns the pid (0 if WNOHANG found no child) and the status.
pub(crate) fn wait4(pid: Pid, options: i32) -> Result<(Pid, i32), i32> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to `status`, which outlives the call; rusage may be null.
        let got = unsafe { libc::wait4(pid, &raw mut status, options, std::ptr::null_mut()) };
        match got {
            got if got >= 0 => return Ok((got, status)),
            _ if errno() == libc::EINTR => {}
            _ => return Err(errno()),
        }
    }
}

/// Results of waitid(2): pid (0 if there is none), `si_code`, `si_status`.
pub(crate) struct WaitInfo {
    pub(crate) pid: Pid,
    pub(crate) code: i32,
    pub(crate) status: i32,
}

pub(crate) fn waitid(pid: Pid, options: i32) -> Result<WaitInfo, i32> {
    // SAFETY: siginfo_t is plain data for which zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to `info`, which outlives the call.
    if unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, options) } != 0 {
        return Err(errno());
    }
    // SAFETY: waitid has filled the fields of a SIGCHLD, or left them zero.
    let (from, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(WaitInfo { pid: from, code: info.si_code, status })
}

pub(crate) fn kill(pid: Pid, signal: i32) {
    // SAFETY: the call takes integers; `pid` is a process of this scenario that was not waited for yet.
    if unsafe { libc::kill(pid, signal) } != 0 {
        die("kill");
    }
}

pub(crate) fn tgkill(pid: Pid, tid: Pid, signal: i32) {
    // SAFETY: the call takes integers; the task belongs to this scenario.
    if unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) } != 0 {
        die("tgkill");
    }
}

pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no function.
    if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
        die("signal");
    }
}

/// Restores the default action of a signal that the Rust runtime handles.
pub(crate) fn reset(signal: i32) {
    // SAFETY: SIG_DFL installs no function.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Sleeps until a signal ends the process.
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        await_input(-1);
    }
}

/// Sleeps until there is something to read. Ends the process once the reader of the facts is gone, so that no process of a scenario
/// outlives its test.
fn await_input(fd: i32) {
    // poll(2) ignores negative descriptors and always reports an error.
    let mut fds = [
        libc::pollfd { fd, events: libc::POLLIN, revents: 0 },
        libc::pollfd { fd: 1, events: 0, revents: 0 },
    ];
    // SAFETY: the length is that of the array, which outlives the call.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) };
    if ready > 0 && fds[1].revents & (libc::POLLERR | libc::POLLHUP) != 0 {
        exit_group(72);
    }
}

/// Sleeps for a moment between two polls of a state for which the kernel has no notification.
pub(crate) fn breathe() {
    let moment = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // SAFETY: `moment` outlives the call; the pointer for the remaining time may be null.
    unsafe { libc::nanosleep(&raw const moment, std::ptr::null_mut()) };
}

/// Makes the caller the leader of a process group of its own.
pub(crate) fn lead_a_group() {
    // SAFETY: the call takes integers only.
    if unsafe { libc::setpgid(0, 0) } != 0 {
        die("setpgid");
    }
}

/// Sets `SCHED_FIFO` and a priority for a process, or the caller (0). Its later children do not inherit that.
pub(crate) fn be_real_time(pid: Pid, priority: i32) {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is complete and outlives the call.
    if unsafe {
        libc::sched_setscheduler(pid, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const param)
    } != 0
    {
        die("sched_setscheduler");
    }
}

/// Changes to another user permanently.
pub(crate) fn become_user(id: u32) {
    // SAFETY: the call takes integers only.
    if unsafe { libc::setresuid(id, id, id) } != 0 {
        die("setresuid");
    }
}

/// Sets the real and the effective user.
pub(crate) fn set_users(real: libc::uid_t, effective: libc::uid_t) {
    // SAFETY: the call takes integers only; -1 keeps the saved user.
    if unsafe { libc::setresuid(real, effective, libc::uid_t::MAX) } != 0 {
        die("setresuid");
    }
}

pub(crate) fn be_subreaper() {
    // SAFETY: the option takes one integer.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
        die("prctl(PR_SET_CHILD_SUBREAPER)");
    }
}

/// Sets SIGCHLD to `handler` (`SIG_IGN` or `SIG_DFL`) with `flags`.
pub(crate) fn on_sigchld(handler: libc::sighandler_t, flags: i32) {
    // SAFETY: sigaction is plain data for which zeroes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is complete; SIG_IGN and SIG_DFL install no function.
    if unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) } != 0 {
        die("sigaction(SIGCHLD)");
    }
}

/// Blocks `signal`, so that it stays pending and does not end the process.
pub(crate) fn block(signal: i32) {
    // SAFETY: sigset_t is plain data; both calls get valid sets.
    let failed = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0
    };
    if failed {
        die("sigprocmask");
    }
}

/// Unblocks `signal`; if it is pending, it is delivered before this returns.
pub(crate) fn unblock(signal: i32) {
    // SAFETY: sigset_t is plain data; both calls get valid sets.
    let failed = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) != 0
    };
    if failed {
        die("sigprocmask");
    }
}

pub(crate) fn is_pending(signal: i32) -> bool {
    // SAFETY: sigset_t is plain data; both calls get a valid set.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut set);
        libc::sigismember(&raw const set, signal) == 1
    }
}

/// Runs this program again with other arguments, in the calling task's process.
pub(crate) fn exec_self(args: &[&str]) -> ! {
    let path = c"/proc/self/exe";
    let list: Vec<CString> = std::iter::once("scenario")
        .chain(args.iter().copied())
        .map(|arg| CString::new(arg).unwrap_or_else(|_| die_with("making an argument", libc::EINVAL)))
        .collect();
    let mut pointers: Vec<*const libc::c_char> = list.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = [std::ptr::null()];
    // SAFETY: both lists end with null and all strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), pointers.as_ptr(), environment.as_ptr()) };
    die("execve /proc/self/exe")
}

pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, soft: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    let failed = unsafe {
        libc::getrlimit(resource, &raw mut limit) != 0 || {
            limit.rlim_cur = soft.min(limit.rlim_max);
            libc::setrlimit(resource, &raw const limit) != 0
        }
    };
    if failed {
        die("setrlimit");
    }
}

pub(crate) fn set_comm(name: &[u8]) {
    let name = CString::new(name).unwrap_or_else(|_| die_with("making a comm", libc::EINVAL));
    // SAFETY: `name` ends with NUL and outlives the call.
    if unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } != 0 {
        die("prctl(PR_SET_NAME)");
    }
}

/// Returns the number of bytes read; 0 at the end.
pub(crate) fn read(fd: i32, into: &mut [u8]) -> usize {
    loop {
        // SAFETY: the slice is valid for its length.
        let got = unsafe { libc::read(fd, into.as_mut_ptr().cast(), into.len()) };
        match usize::try_from(got) {
            Ok(got) => return got,
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => die("read"),
        }
    }
}

pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the slice is valid for its length.
        let put = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(put) {
            Ok(put) => bytes = bytes.get(put..).unwrap_or_default(),
            Err(_) if errno() == libc::EINTR => {}
            // The test has ended and does not read facts any more.
            Err(_) => exit_group(72),
        }
    }
}

/// A pipe that passes integers between tasks that inherit its descriptors.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    read: i32,
    write: i32,
}

impl Channel {
    pub(crate) fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            die("pipe2");
        }
        Self { read: ends[0], write: ends[1] }
    }

    pub(crate) fn send(self, value: i32) {
        write_all(self.write, &value.to_ne_bytes());
    }

    pub(crate) fn receive(self) -> i32 {
        let mut bytes = [0; 4];
        await_input(self.read);
        if read(self.read, &mut bytes) != bytes.len() {
            die_with("reading from a channel", libc::EPIPE);
        }
        i32::from_ne_bytes(bytes)
    }

    /// Receives in a process that only receives. Thousands of processes may wait; each message wakes one.
    pub(crate) fn receive_only(self) -> i32 {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        let mut bytes = [0; 4];
        if read(self.read, &mut bytes) != bytes.len() {
            // The last sender has ended, so the test has ended.
            exit_group(72);
        }
        i32::from_ne_bytes(bytes)
    }

    /// Closes the descriptors of this task; those of other tasks stay open.
    pub(crate) fn close(self) {
        // SAFETY: both descriptors are open and not used after this.
        unsafe {
            libc::close(self.read);
            libc::close(self.write);
        }
    }

    /// Reads until all other processes have closed the writing end.
    pub(crate) fn read_to_end(self) {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        while read(self.read, &mut [0; 64]) > 0 {}
    }

    /// Does what [`Self::read_to_end`] does, with poll(2) before each read, as Python's `communicate()` reads two pipes.
    pub(crate) fn poll_to_end(self) {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        loop {
            let mut polled = [libc::pollfd { fd: self.read, events: libc::POLLIN, revents: 0 }];
            // SAFETY: the length is that of the array.
            unsafe { libc::poll(polled.as_mut_ptr(), 1, -1) };
            if read(self.read, &mut [0; 64]) == 0 {
                return;
            }
        }
    }

    /// Returns the descriptor to read from.
    pub(crate) fn read_end(self) -> i32 {
        self.read
    }
}
