//! Units that are stopped, and a unit whose process aborts again and again.

use super::deaths::child_of;
use crate::{
    Entry,
    actor::{announce, spawn, wait},
    cgroups::{self, Cgroup, enter},
    fact::pause,
    proc, sys,
    sys::Channel,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("stop-ignored", "a unit is stopped whose main process ignores SIGTERM and does not pass it on", |_| {
        stop_ignored();
    }),
    (
        "stop-init",
        "a unit whose main process is the init of a pid namespace without a handler is stopped",
        |_| stop_init(),
    ),
    ("stop-clean", "a unit is stopped whose main process passes SIGTERM on", |_| stop_clean()),
    ("crash-loop", "a unit's process aborts six times and is started again", |_| crash_loop()),
];

/// Creates the cgroup of a unit.
fn unit() -> Cgroup {
    cgroups::unit("cgroup2", "stop")
}

/// Sends SIGTERM to the main process, and waits until the test has seen the daemon's report.
fn ask_to_stop(main: sys::Pid) {
    sys::kill(main, libc::SIGTERM);
    pause("asked");
}

fn stop_ignored() {
    let unit = unit();
    let (path, ready) = (unit.0.clone(), Channel::new());
    sys::be_subreaper();
    let main = spawn("main", move || {
        enter(&path);
        sys::ignore(libc::SIGTERM);
        let worker = spawn("worker", || sys::sleep_for_ever());
        ready.send(worker);
        sys::sleep_for_ever()
    });
    let worker = ready.receive();
    proc::until_asleep(main, main);
    ask_to_stop(main);
    sys::kill(main, libc::SIGKILL);
    wait("scenario", "main", main);
    sys::kill(worker, libc::SIGKILL);
    wait("scenario", "worker", worker);
}

fn stop_init() {
    let unit = unit();
    let (path, ready) = (unit.0.clone(), Channel::new());
    let main = crate::actor::spawn_with("main", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        enter(&path);
        sys::reset(libc::SIGTERM);
        if sys::fork().is_none() {
            sys::sleep_for_ever()
        }
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    let worker = child_of(main);
    announce("worker", worker, worker);
    proc::until_asleep(main, main);
    ask_to_stop(main);
    sys::kill(main, libc::SIGKILL);
    wait("scenario", "main", main);
}

fn stop_clean() {
    let unit = unit();
    let (path, ready, go) = (unit.0.clone(), Channel::new(), Channel::new());
    let main = spawn("main", move || {
        enter(&path);
        let worker = spawn("worker", || sys::sleep_for_ever());
        sys::block(libc::SIGTERM);
        ready.send(1);
        while !sys::is_pending(libc::SIGTERM) {
            sys::breathe();
        }
        go.receive();
        sys::kill(worker, libc::SIGTERM);
        wait("main", "worker", worker);
        0
    });
    ready.receive();
    ask_to_stop(main);
    go.send(1);
    wait("scenario", "main", main);
}

fn crash_loop() {
    let unit = unit();
    for _ in 0..6 {
        let path = unit.0.clone();
        let child = spawn("child", move || {
            enter(&path);
            std::process::abort()
        });
        wait("scenario", "child", child);
    }
    // If the cgroup were removed at once, the daemon could not find its name.
    pause("looped");
}
