//! Processes whose end has a cause before the signal that ends them: a handler, a process that passes a signal on, a timer, the end of
//! a pid namespace.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use super::deaths::{child_of, children_of, ends, sleeper, write_without_a_reader};
use crate::{
    Entry,
    actor::{announce, spawn, spawn_with, wait},
    fact::{die, die_with, skip},
    proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("death-pipe-raised", "a child handles SIGPIPE of the kernel, and ends by sending it to itself", |_| {
        pipe_raised();
    }),
    ("death-fault-abort", "a child handles SIGSEGV of a fault, and calls abort(3)", |_| fault_abort()),
    ("death-passed-on", "a process that is sent SIGTERM sends it to its child", |_| passed_on()),
    ("death-timer", "a POSIX timer of a child sends SIGTERM to it", |_| timer()),
    ("death-reboot", "the init of a pid namespace calls reboot(2)", |_| reboot()),
    ("death-timeout-asked", "timeout(1) is sent SIGTERM, and passes it on to its command", |_| {
        timeout_asked();
    }),
];

fn raise(signal: i32) {
    sys::reset(signal);
    // SAFETY: an integer.
    unsafe { libc::raise(signal) };
}

fn handle(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: the handlers here call async-signal-safe functions only.
    unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
}

/// Go's runtime does so for standard output and error.
fn pipe_raised() {
    extern "C" fn again(signal: i32) {
        raise(signal);
    }
    let child = spawn("child", || {
        handle(libc::SIGPIPE, again);
        write_without_a_reader()
    });
    ends(child);
}

/// The Java virtual machine does so.
fn fault_abort() {
    extern "C" fn abort(_: i32) {
        // SAFETY: no arguments.
        unsafe { libc::abort() };
    }
    let child = spawn("child", || {
        handle(libc::SIGSEGV, abort);
        // SAFETY: the read is invalid on purpose: page 0 is never mapped, and this child must fault.
        unsafe { ptr::without_provenance::<u32>(16).read_volatile() }.cast_signed()
    });
    ends(child);
}

/// An init of a container does so.
fn passed_on() {
    static CHILD: AtomicI32 = AtomicI32::new(0);
    extern "C" fn pass_on(signal: i32) {
        sys::kill(CHILD.load(Ordering::SeqCst), signal);
    }
    let ready = Channel::new();
    let init = spawn("init", || {
        let child = sleeper();
        CHILD.store(child, Ordering::SeqCst);
        handle(libc::SIGTERM, pass_on);
        ready.send(1);
        wait("init", "child", child);
        143
    });
    ready.receive();
    let sender = spawn("sender", || {
        sys::kill(init, libc::SIGTERM);
        0
    });
    wait("scenario", "sender", sender);
    wait("scenario", "init", init);
}

fn timer() {
    let child = spawn("child", || {
        sys::reset(libc::SIGTERM);
        let mut timer = ptr::null_mut();
        // SAFETY: zeros are valid for both structures.
        let (mut event, mut time): (libc::sigevent, libc::itimerspec) = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGTERM;
        time.it_value.tv_nsec = 20_000_000;
        // SAFETY: the pointers are to variables that outlive the calls.
        let failed = unsafe {
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) != 0
                || libc::timer_settime(timer, 0, &raw const time, ptr::null_mut()) != 0
        };
        if failed {
            die("timer_create");
        }
        sys::sleep_for_ever()
    });
    ends(child);
}

/// The machine is safe: in a pid namespace of its own, reboot(2) ends that namespace only.
fn reboot() {
    let init = spawn_with("child", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        if sys::getpid() != 1 {
            die_with("being the init of a pid namespace", libc::EPERM);
        }
        // SAFETY: an integer.
        unsafe { libc::reboot(libc::RB_POWER_OFF) };
        sys::exit_group(70)
    });
    let status = wait("scenario", "child", init);
    if libc::WIFEXITED(status) {
        skip("reboot in a pid namespace", libc::EPERM);
    }
}

fn timeout_asked() {
    if !["/usr/bin/timeout", "/bin/timeout"].iter().any(|path| Path::new(path).exists()) {
        skip("timeout(1)", libc::ENOENT);
    }
    let timeout = spawn("timeout", || {
        let error = Command::new("timeout").args(["1000", "sleep", "1000"]).exec();
        die_with("execve of timeout(1)", error.raw_os_error().unwrap_or(libc::ENOENT));
    });
    proc::until("the child of timeout(1)", || !children_of(timeout).is_empty());
    let child = child_of(timeout);
    announce("child", child, child);
    let sender = spawn("sender", || {
        sys::kill(timeout, libc::SIGTERM);
        0
    });
    wait("scenario", "sender", sender);
    wait("scenario", "timeout", timeout);
}
