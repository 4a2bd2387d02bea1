//! Many at once: nothing may be missed.

use std::collections::VecDeque;

use crate::{
    Entry,
    actor::{join, spawn, wait},
    fact::{Fact, die_with, pause},
    number, proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("burst", "N (2000) short processes as fast as they can be made", burst),
    ("many-threads", "a group with N (200) threads", many_threads),
    ("many-orphans", "N (5000) children of one parent that is killed", many_orphans),
    ("fork-loops", "N (2) processes that each fork and wait without end, until `go`", fork_loops),
];

/// Children alive at a time: enough to keep every CPU busy.
const IN_FLIGHT: usize = 32;

fn burst(args: &[String]) {
    let count = number(args, 0, 2000);
    let before = sys::now_ns();
    let mut alive: VecDeque<Pid> = VecDeque::new();
    let mut answers = Vec::new();
    for turn in 0..count {
        match sys::fork() {
            None => sys::exit_group(turn % 256),
            Some(pid) => alive.push_back(pid),
        }
        if alive.len() >= IN_FLIGHT {
            collect(&mut alive, &mut answers);
        }
    }
    while !alive.is_empty() {
        collect(&mut alive, &mut answers);
    }
    Fact::new("crowd")
        .text("role", "short")
        .number("before_ns", before)
        .number("after_ns", sys::now_ns())
        .pairs("statuses", &answers)
        .emit();
}

fn fork_loops(args: &[String]) {
    let loops: Vec<Pid> = (0..number(args, 0, 2)).map(|_| spawn("loop", fork_and_wait)).collect();
    pause("looping");
    for pid in loops {
        sys::kill(pid, libc::SIGKILL);
        wait("scenario", "loop", pid);
    }
}

/// Forks and waits in a loop, like a shell's `while :; do (:); done`.
fn fork_and_wait() -> i32 {
    loop {
        let Some(pid) = sys::fork() else { sys::exit_group(0) };
        if let Err(errno) = sys::wait4(pid, 0) {
            die_with("wait4", errno);
        }
    }
}

/// Waits for the oldest child.
fn collect(alive: &mut VecDeque<Pid>, answers: &mut Vec<(Pid, i32)>) {
    let Some(pid) = alive.pop_front() else { return };
    match sys::wait4(pid, 0) {
        Ok((_, status)) => answers.push((pid, status)),
        Err(errno) => die_with("wait4", errno),
    }
}

fn many_threads(args: &[String]) {
    let count = usize::try_from(number(args, 0, 200)).unwrap_or_default();
    let go_ahead = Channel::new();
    let group = spawn("group", || {
        let tids = Channel::new();
        let threads: Vec<_> = (0..count)
            .map(|_| {
                std::thread::Builder::new()
                    .stack_size(64 * 1024)
                    .spawn(move || {
                        tids.send(sys::gettid());
                        go_ahead.receive();
                    })
                    .unwrap_or_else(|error| die_with("pthread_create", error.raw_os_error().unwrap_or(0)))
            })
            .collect();
        let list: Vec<Pid> = (0..count).map(|_| tids.receive()).collect();
        Fact::new("crowd").text("role", "thread").numbers("tids", &list).emit();
        threads.into_iter().for_each(join);
        30
    });
    proc::until("waiting for all threads", || proc::tasks(group).len() > count);
    proc::at("all-alive", "group", group);
    pause("all-alive");
    for _ in 0..count {
        go_ahead.send(0);
    }
    wait("scenario", "group", group);
}

fn many_orphans(args: &[String]) {
    let count = number(args, 0, 5000);
    sys::be_subreaper();
    let go_ahead = Channel::new();
    let ready = Channel::new();
    let parent = spawn("parent", || {
        let children: Vec<Pid> = (0..count)
            .map(|_| {
                sys::fork().unwrap_or_else(|| {
                    go_ahead.receive_only();
                    sys::exit_group(31)
                })
            })
            .collect();
        Fact::new("crowd").text("role", "orphan").numbers("pids", &children).emit();
        for &pid in &children {
            ready.send(pid);
        }
        sys::sleep_for_ever()
    });
    let children: Vec<Pid> = (0..count).map(|_| ready.receive()).collect();
    pause("all-alive");
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
    let parents: Vec<(i32, i32)> = children
        .iter()
        .map(|&pid| (pid, proc::Stat::read(pid, pid).map_or(-1, |stat| stat.ppid() as i32)))
        .collect();
    Fact::new("reparented").text("role", "orphan").pairs("parents", &parents).emit();
    pause("reparented");
    for _ in &children {
        go_ahead.send(0);
    }
    let mut alive = VecDeque::from(children);
    let mut answers = Vec::new();
    while !alive.is_empty() {
        collect(&mut alive, &mut answers);
    }
    Fact::new("collected").text("role", "orphan").pairs("statuses", &answers).emit();
}
