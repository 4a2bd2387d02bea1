//! Thread groups: dead leaders, group exits, exec by a thread, threads that end.

use crate::{
    Entry,
    actor::{join, peek, spawn, thread, wait, wait_with},
    fact::{Fact, pause},
    proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "leader-exits-first",
        "the main thread exits with 3 and a worker lives on; it ends by exit(5) or, with `group`, exit_group(9); `ignored`: SIGCHLD is",
        leader_exits_first,
    ),
    (
        "exit-group-from-thread",
        "a thread that is not the leader calls exit_group(11)",
        exit_group_from_thread,
    ),
    ("signal-to-thread", "SIGTERM for one thread ends the group", signal_to_thread),
    ("exec-from-thread", "a thread that is not the leader execs while others live", exec_from_thread),
    ("detached-thread", "a detached thread ends", detached_thread),
];

fn leader_exits_first(args: &[String]) {
    let by_group = args.iter().any(|arg| arg == "group");
    let ignored = args.iter().any(|arg| arg == "ignored");
    if ignored {
        sys::on_sigchld(libc::SIG_IGN, 0);
    }
    let go_ahead = Channel::new();
    let ready = Channel::new();
    let group = spawn("group", || {
        thread("worker", move || {
            ready.send(0);
            go_ahead.receive();
            if by_group { sys::exit_group(9) } else { sys::exit_task(5) }
        });
        ready.receive();
        sys::exit_task(3)
    });
    proc::until_state(group, 'Z');
    proc::at("dead-leader", "group", group);
    // wait(2) does not return it while the worker lives.
    peek("scenario", "group", group, libc::WNOHANG);
    pause("dead-leader");
    go_ahead.send(0);
    wait_with("scenario", "group", group, 0);
    // If SIGCHLD is ignored, the wait can end shortly before the release is complete.
    proc::until_gone(group, group);
    proc::at("after", "group", group);
}

fn exit_group_from_thread(_: &[String]) {
    let group = spawn("group", || {
        let worker = thread("worker", || sys::exit_group(11));
        join(worker);
        0
    });
    wait("scenario", "group", group);
}

fn signal_to_thread(_: &[String]) {
    let tids = Channel::new();
    let group = spawn("group", || {
        let worker = thread("worker", move || {
            tids.send(sys::gettid());
            sys::sleep_for_ever()
        });
        join(worker);
        0
    });
    let worker = tids.receive();
    Fact::new("killing").text("role", "worker").number("signal", libc::SIGTERM).emit();
    sys::tgkill(group, worker, libc::SIGTERM);
    wait("scenario", "group", group);
}

fn exec_from_thread(_: &[String]) {
    let bystanding = Channel::new();
    let group = spawn("group", || {
        thread("bystander", move || {
            bystanding.send(0);
            sys::sleep_for_ever()
        });
        bystanding.receive();
        let worker = thread("worker", || sys::exec_self(&["report", "group", "6"]));
        join(worker);
        sys::exit_group(73)
    });
    wait("scenario", "group", group);
}

fn detached_thread(_: &[String]) {
    let go_ahead = Channel::new();
    let tids = Channel::new();
    let group = spawn("group", || {
        // Dropping the handle detaches the thread.
        drop(thread("thread", move || tids.send(sys::gettid())));
        go_ahead.receive();
        0
    });
    let thread = tids.receive();
    proc::until_gone(group, thread);
    proc::at("after", "group", group);
    go_ahead.send(0);
    wait("scenario", "group", group);
}
