//! Tracers: a tracer can hold a zombie that its real parent cannot reap yet.
#![expect(clippy::similar_names, reason = "tracer and tracee are the words of ptrace(2)")]

use crate::{
    Entry,
    actor::{peek, spawn, wait, wait_with},
    fact::{die, pause},
    proc,
    sys::{Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("traced-child", "a parent traces its own child, which exits with 25", traced_child),
    (
        "foreign-tracer",
        "a tracer that is not the parent holds the zombie, waits, and the parent waits after it",
        foreign_tracer,
    ),
    ("tracer-exits-first", "a tracer ends while it holds the zombie; the parent gets it", tracer_exits_first),
];

fn traced_child(_: &[String]) {
    let go_ahead = Channel::new();
    let child = spawn("child", || {
        go_ahead.receive();
        25
    });
    seize(child);
    proc::at("traced", "child", child);
    go_ahead.send(0);
    proc::until_state(child, 'Z');
    pause("zombie");
    wait("scenario", "child", child);
}

fn foreign_tracer(_: &[String]) {
    let (tracee, tracer, go_on) = trace(|tracee| {
        wait("tracer", "tracee", tracee);
        0
    });
    proc::at("held", "tracee", tracee);
    // wait(2) of the parent does not return a zombie that a tracer holds.
    peek("scenario", "tracee", tracee, libc::WNOHANG);
    pause("held");
    go_on.send(0);
    wait("scenario", "tracer", tracer);
    proc::at("given-back", "tracee", tracee);
    wait_with("scenario", "tracee", tracee, 0);
}

fn tracer_exits_first(_: &[String]) {
    let (tracee, tracer, go_on) = trace(|_| 26);
    proc::at("held", "tracee", tracee);
    pause("held");
    go_on.send(0);
    wait("scenario", "tracer", tracer);
    proc::at("given-back", "tracee", tracee);
    wait_with("scenario", "tracee", tracee, 0);
}

/// Creates a tracee that has exited and a tracer that holds it and continues with `after` at a message.
fn trace(after: impl FnOnce(Pid) -> i32) -> (Pid, Pid, Channel) {
    let go_ahead = Channel::new();
    let seized = Channel::new();
    let go_on = Channel::new();
    let tracee = spawn("tracee", || {
        go_ahead.receive();
        27
    });
    let tracer = spawn("tracer", || {
        seize(tracee);
        seized.send(0);
        go_on.receive();
        after(tracee)
    });
    seized.receive();
    proc::at("traced", "tracee", tracee);
    go_ahead.send(0);
    proc::until_state(tracee, 'Z');
    (tracee, tracer, go_on)
}

/// Attaches without stopping the tracee.
fn seize(pid: Pid) {
    // SAFETY: PTRACE_SEIZE takes no pointers.
    if unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) } != 0 {
        die("ptrace(PTRACE_SEIZE)");
    }
}
