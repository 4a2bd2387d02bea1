//! The simplest lives: fork, exec, thread, signal, vfork, a clone that fails.

use crate::{
    Entry,
    actor::{announce, join, spawn, thread, wait},
    fact::{Fact, die},
    number, proc, sys,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("fork-exit-wait", "a child exits with CODE (7) and is waited for", fork_exit_wait),
    ("exec", "a child execs another program, which exits with 5", exec),
    ("thread-join", "a group makes a thread and joins it", thread_join),
    ("sigkill", "a sleeping child is killed by SIGNAL (9)", sigkill),
    ("vfork", "a vfork child exits with 3", vfork),
    ("failed-clone", "clone with invalid flags, fork beyond RLIMIT_NPROC", failed_clone),
];

fn fork_exit_wait(args: &[String]) {
    let code = number(args, 0, 7);
    let child = spawn("child", || code);
    wait("scenario", "child", child);
}

fn exec(_: &[String]) {
    let child = spawn("child", || sys::exec_self(&["report", "child", "5"]));
    wait("scenario", "child", child);
}

/// Runs as the program that scenarios exec: prints its pid and exits with the given code.
pub(crate) fn report(args: &[String]) {
    let role = args.first().map_or("", String::as_str);
    let fact = Fact::new("execed").text("role", role);
    proc::describe(fact, proc::outer_pid(), sys::gettid()).emit();
    sys::exit_group(number(args, 1, 0));
}

fn thread_join(_: &[String]) {
    let group = spawn("group", || {
        join(thread("thread", || {}));
        0
    });
    wait("scenario", "group", group);
}

fn sigkill(args: &[String]) {
    let signal = number(args, 0, libc::SIGKILL);
    let child = spawn("child", || sys::sleep_for_ever());
    Fact::new("killing").text("role", "child").number("signal", signal).emit();
    sys::kill(child, signal);
    wait("scenario", "child", child);
}

fn vfork(_: &[String]) {
    let parent = spawn("parent", || {
        let child = sys::clone_vm(libc::CLONE_VFORK, || 3);
        announce("child", child, child);
        wait("parent", "child", child);
        0
    });
    wait("scenario", "parent", parent);
}

fn failed_clone(_: &[String]) {
    const NOBODY: libc::uid_t = 65_533;
    let cloner = spawn("cloner", || {
        // A shared signal table needs shared memory.
        attempt("invalid", libc::CLONE_SIGHAND);
        sys::set_limit(libc::RLIMIT_NPROC, 0);
        // SAFETY: the call takes three integers.
        if unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) } != 0 {
            die("setresuid");
        }
        attempt("limit", 0);
        0
    });
    wait("scenario", "cloner", cloner);
}

fn attempt(why: &str, flags: i32) {
    let before = sys::now_ns();
    match sys::clone(flags, libc::SIGCHLD) {
        Ok(None) => sys::exit_group(0),
        Ok(Some(pid)) => {
            Fact::new("clone_succeeded").text("why", why).number("pid", pid).emit();
        }
        Err(errno) => Fact::new("clone_failed")
            .text("by", "cloner")
            .text("why", why)
            .number("flags", flags)
            .number("errno", errno)
            .number("before_ns", before)
            .number("after_ns", sys::now_ns())
            .emit(),
    }
}
