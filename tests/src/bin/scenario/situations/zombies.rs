//! Dead children: waited for late, left behind, or never zombies at all.

use crate::{
    Entry,
    actor::{peek, spawn, wait, wait_with},
    fact::{Fact, die_with, pause},
    number, proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("zombie", "a dead child stays until `go`, then it is waited for", zombie),
    ("zombies", "N (300) dead children stay until `go`, then they are waited for", zombies),
    ("wnowait", "waitid(WNOWAIT) returns a dead child three times, then it is reaped", wnowait),
    (
        "parent-killed",
        "a parent is killed while it has a zombie, which goes to init or, with `subreaper`, to a subreaper",
        parent_killed,
    ),
    (
        "new-parent-ignores",
        "a parent is killed while it has a zombie, and a subreaper above ignores SIGCHLD",
        new_reaper_ignores,
    ),
    ("sigchld-ignored", "the parent ignores SIGCHLD", sigchld_ignored),
    ("nocldwait", "the parent set SA_NOCLDWAIT", nocldwait),
];

fn zombie(_: &[String]) {
    let child = spawn("child", || 4);
    peek("scenario", "child", child, 0);
    proc::at("zombie", "child", child);
    pause("zombie");
    proc::at("still", "child", child);
    wait("scenario", "child", child);
}

fn zombies(args: &[String]) {
    let children: Vec<_> = (0..number(args, 0, 300))
        .map(|_| match sys::fork() {
            None => sys::exit_group(0),
            Some(pid) => pid,
        })
        .collect();
    for &child in &children {
        proc::until_state(child, 'Z');
    }
    Fact::new("crowd").text("role", "child").numbers("pids", &children).emit();
    // Metrics distinguish this parent from others by its name.
    sys::set_comm(b"zombie-holder");
    pause("zombies");
    for &child in &children {
        if let Err(errno) = sys::wait4(child, 0) {
            die_with("wait4", errno);
        }
    }
    pause("reaped");
}

fn wnowait(_: &[String]) {
    let child = spawn("child", || 6);
    for when in ["first", "second", "third"] {
        peek("scenario", "child", child, 0);
        proc::at(when, "child", child);
    }
    pause("looked-at");
    wait("scenario", "child", child);
}

fn parent_killed(args: &[String]) {
    let keeps = args.first().is_some_and(|arg| arg == "subreaper");
    if keeps {
        sys::be_subreaper();
    }
    let born = Channel::new();
    let parent = spawn("parent", || {
        born.send(spawn("child", || 8));
        sys::sleep_for_ever()
    });
    let child = born.receive();
    proc::until_state(child, 'Z');
    proc::at("zombie", "child", child);
    pause("zombie");
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
    if keeps {
        proc::at("reparented", "child", child);
        wait("scenario", "child", child);
    } else {
        proc::until_gone(child, child);
    }
}

fn new_reaper_ignores(_: &[String]) {
    sys::be_subreaper();
    let born = Channel::new();
    let parent = spawn("parent", || {
        born.send(spawn("child", || 20));
        sys::sleep_for_ever()
    });
    let child = born.receive();
    proc::until_state(child, 'Z');
    pause("zombie");
    sys::on_sigchld(libc::SIG_IGN, 0);
    sys::kill(parent, libc::SIGKILL);
    proc::until_gone(child, child);
    proc::until_gone(parent, parent);
}

fn sigchld_ignored(_: &[String]) {
    sys::on_sigchld(libc::SIG_IGN, 0);
    never_a_zombie();
}

fn nocldwait(_: &[String]) {
    sys::on_sigchld(libc::SIG_DFL, libc::SA_NOCLDWAIT);
    never_a_zombie();
}

/// Waits for a child that is autoreaped: the wait lasts until the child is released, and then fails with ECHILD.
fn never_a_zombie() {
    let child = spawn("child", || 2);
    wait_with("scenario", "child", child, 0);
    // The wait can return a moment before the release is done; if the parent exits in between, the child is reparented.
    proc::until_gone(child, child);
    proc::at("after", "child", child);
}
