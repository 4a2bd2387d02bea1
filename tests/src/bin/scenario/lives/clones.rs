//! What clone(2) can do and fork(2) cannot: other exit signals, another parent, shared memory, a chosen tid.

use crate::{
    Entry,
    actor::{announce, peek, spawn, spawn_with, wait, wait_with},
    fact::{Fact, die_with, pause, skip},
    number, proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "exit-signal",
        "a child whose exit signal is SIGNAL (10): only a __WALL or __WCLONE wait sees it",
        exit_signal,
    ),
    ("clone-parent", "CLONE_PARENT makes a sibling", clone_parent),
    ("hybrid", "CLONE_VM without CLONE_THREAD: own pid, shared memory", hybrid),
    ("user-ids", "a process whose effective user is not its real one makes another", user_ids),
    ("vfork-held", "a vfork child takes its time before it execs", vfork_held),
    ("pid-reuse", "two lives under one pid", pid_reuse),
];

fn exit_signal(args: &[String]) {
    let signal = number(args, 0, libc::SIGUSR1);
    let option = if args.get(1).is_some_and(|arg| arg == "wclone") { libc::__WCLONE } else { libc::__WALL };
    if signal != 0 {
        sys::block(signal);
    }
    let child = spawn_with("child", 0, signal, || 15);
    peek("scenario", "child", child, libc::__WALL);
    proc::at("zombie", "child", child);
    // A plain wait does not see this child.
    wait_with("scenario", "child", child, libc::WNOHANG);
    if signal != 0 {
        Fact::new("signal").number("signal", signal).flag("pending", sys::is_pending(signal)).emit();
    }
    pause("zombie");
    wait_with("scenario", "child", child, option);
}

fn clone_parent(_: &[String]) {
    let born = Channel::new();
    let go_ahead = Channel::new();
    let creator = spawn("creator", || {
        // The kernel takes the exit signal of the caller for a sibling.
        let child = spawn_with("child", libc::CLONE_PARENT, 0, || {
            go_ahead.receive();
            16
        });
        born.send(child);
        17
    });
    let child = born.receive();
    wait("scenario", "creator", creator);
    proc::at("after-creator", "child", child);
    go_ahead.send(0);
    wait("scenario", "child", child);
}

static GO_AHEAD: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

fn hybrid(_: &[String]) {
    let go_ahead = Channel::new();
    GO_AHEAD.store(go_ahead.read_end(), std::sync::atomic::Ordering::Relaxed);
    let parent = spawn("parent", || {
        let child = sys::clone_vm(0, || {
            let mut bytes = [0; 4];
            sys::read(GO_AHEAD.load(std::sync::atomic::Ordering::Relaxed), &mut bytes);
            18
        });
        announce("child", child, child);
        go_ahead.send(0);
        wait("parent", "child", child);
        0
    });
    wait("scenario", "parent", parent);
}

fn user_ids(_: &[String]) {
    let parent = spawn("parent", || {
        // The saved uid stays 0.
        sys::set_users(65_531, 65_532);
        let child = spawn("child", || 21);
        wait("parent", "child", child);
        0
    });
    wait("scenario", "parent", parent);
}

fn vfork_held(_: &[String]) {
    let parent = spawn("parent", || {
        let before = sys::now_ns();
        // The parent is held until the exec, so the child may use all of its memory.
        let child = sys::clone_vm(libc::CLONE_VFORK, || {
            Fact::new("vforked").number("pid", sys::getpid()).emit();
            pause("held");
            Fact::new("execing").emit();
            sys::exec_self(&["report", "child", "19"])
        });
        Fact::new("held").number("before_ns", before).number("after_ns", sys::now_ns()).emit();
        announce("child", child, child);
        wait("parent", "child", child);
        0
    });
    wait("scenario", "parent", parent);
}

fn pid_reuse(_: &[String]) {
    const TRIES: usize = 50;
    let first = spawn("first", || 20);
    wait("scenario", "first", first);
    let go_ahead = Channel::new();
    for _ in 0..TRIES {
        match sys::clone_with_tid(first) {
            Ok(None) => {
                go_ahead.receive();
                sys::exit_group(21)
            }
            Ok(Some(second)) => {
                announce("second", second, second);
                go_ahead.send(0);
                wait("scenario", "second", second);
                return;
            }
            // A process of another test has taken the tid.
            Err(libc::EEXIST) => sys::breathe(),
            Err(errno) => skip("clone3 with set_tid", errno),
        }
    }
    die_with("clone3 with set_tid", libc::EEXIST);
}
