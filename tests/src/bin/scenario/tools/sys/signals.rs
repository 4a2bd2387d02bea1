//! System calls about signals.

use super::Pid;
use crate::fact::die;

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
