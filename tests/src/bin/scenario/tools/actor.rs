//! Processes and threads with a role, and what wait(2) says about them.

use std::sync::OnceLock;

use crate::{
    fact::{Fact, die_with},
    proc,
    sys::{self, Channel, Pid},
};

/// Prints the pid that has this `role`.
pub(crate) fn announce(role: &str, pid: Pid, tid: Pid) {
    proc::describe(Fact::new("role").text("role", role), pid, tid).emit();
}

/// The name of spawned processes, if it is not that of their parent.
static COMM: OnceLock<Vec<u8>> = OnceLock::new();

/// Sets the name, as bytes in hexadecimal, of all processes that are spawned later.
pub(crate) fn name_all(hex: &str) {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let name = hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>();
    let _ = COMM.set(name.unwrap_or_else(|| die_with("reading a name in hexadecimal", libc::EINVAL)));
}

fn take_name() {
    if let Some(name) = COMM.get() {
        sys::set_comm(name);
    }
}

/// Forks a child that acts after it was announced, and exits with what `act` returns.
pub(crate) fn spawn(role: &str, act: impl FnOnce() -> i32) -> Pid {
    let go_ahead = Channel::new();
    let Some(pid) = sys::fork() else {
        go_ahead.receive();
        go_ahead.close();
        take_name();
        sys::exit_group(act());
    };
    announce(role, pid, pid);
    go_ahead.send(0);
    go_ahead.close();
    pid
}

/// Does what [`spawn`] does, by a raw clone with these flags and this exit signal.
pub(crate) fn spawn_with(role: &str, flags: i32, exit_signal: i32, act: impl FnOnce() -> i32) -> Pid {
    let go_ahead = Channel::new();
    match sys::clone(flags, exit_signal) {
        Ok(None) => {
            go_ahead.receive();
            go_ahead.close();
            take_name();
            sys::exit_group(act());
        }
        Ok(Some(pid)) => {
            announce(role, pid, pid);
            go_ahead.send(0);
            go_ahead.close();
            pid
        }
        Err(errno) => die_with("clone", errno),
    }
}

/// Starts a thread that announces itself and then acts.
pub(crate) fn thread(role: &'static str, act: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    let pid = proc::outer_pid();
    std::thread::Builder::new()
        .spawn(move || {
            announce(role, pid, sys::gettid());
            act();
        })
        .unwrap_or_else(|error| die_with("pthread_create", error.raw_os_error().unwrap_or(0)))
}

/// Joins a thread that [`thread`] started.
pub(crate) fn join(thread: std::thread::JoinHandle<()>) {
    if thread.join().is_err() {
        die_with("joining a thread that panicked", libc::EIO);
    }
}

/// Waits for one child and prints the kernel's answer with the times around it.
pub(crate) fn wait(by: &str, role: &str, pid: Pid) -> i32 {
    wait_with(by, role, pid, 0).unwrap_or(-1)
}

/// Does what [`wait`] does, with options; `None` if wait(2) failed or, with WNOHANG, returned no child.
pub(crate) fn wait_with(by: &str, role: &str, pid: Pid, options: i32) -> Option<i32> {
    let before = sys::now_ns();
    let answer = sys::wait4(pid, options);
    let fact = Fact::new("waited")
        .text("by", by)
        .text("role", role)
        .number("options", options)
        .number("before_ns", before)
        .number("after_ns", sys::now_ns());
    match answer {
        Ok((0, _)) => {
            fact.number("pid", 0).emit();
            None
        }
        Ok((pid, status)) => {
            fact.number("pid", pid).number("status", status).emit();
            Some(status)
        }
        Err(errno) => {
            fact.number("errno", errno).emit();
            None
        }
    }
}

/// Reads the state of a dead child by waitid(WNOWAIT), which does not reap it, and prints the result.
pub(crate) fn peek(by: &str, role: &str, pid: Pid, options: i32) {
    let before = sys::now_ns();
    let answer = sys::waitid(pid, libc::WEXITED | libc::WNOWAIT | options);
    let fact = Fact::new("peeked")
        .text("by", by)
        .text("role", role)
        .number("before_ns", before)
        .number("after_ns", sys::now_ns());
    match answer {
        Ok(info) => {
            fact.number("pid", info.pid).number("si_code", info.code).number("si_status", info.status).emit();
        }
        Err(errno) => fact.number("errno", errno).emit(),
    }
}
