//! Units that begin and end: what taskscope reports of their cgroups. The kernel's own account is `cgroup.events`.

use std::{fs, path::Path};

use crate::{
    Entry,
    actor::{spawn, wait},
    cgroups::{self, Cgroup, enter},
    fact::{Fact, pause, skip},
    proc, sys,
    sys::Channel,
};

pub(crate) const SCENARIOS: &[Entry] = &[(
    "unit-lives",
    "a unit of HIERARCHY (cgroup2) ends after a killed worker, begins again, and loses its last process to another",
    |args| unit_lives(args.first().map_or("cgroup2", String::as_str)),
)];

fn unit_lives(hierarchy: &str) {
    let before = sys::now_ns();
    let unit = cgroups::unit(hierarchy, "scope");
    span("made", before);
    // Both kinds of hierarchies show whether a task is there; only v2 says so in `cgroup.events`.
    let is_unified = unit.0.join("cgroup.events").exists();
    if hierarchy == "cgroup2" && !is_unified {
        drop(unit);
        skip("cgroup.events", libc::ENOENT);
    }
    killed_worker(&unit.0);
    one_more(&unit.0);
    moved(&unit.0);
    let before = sys::now_ns();
    drop::<Cgroup>(unit);
    span("removed", before);
}

/// Runs the unit once: its worker is killed, and then the main process exits with 1.
fn killed_worker(unit: &Path) {
    let (path, entered, ready) = (unit.to_owned(), Channel::new(), Channel::new());
    let before = sys::now_ns();
    let main = spawn("main", move || {
        enter(&path);
        entered.send(1);
        let worker = spawn("worker", || sys::sleep_for_ever());
        ready.send(worker);
        wait("main", "worker", worker);
        1
    });
    entered.receive();
    began(unit, before);
    let worker = ready.receive();
    proc::until_asleep(worker, worker);
    pause("running");
    sys::kill(worker, libc::SIGKILL);
    wait("scenario", "main", main);
    ended(unit);
}

/// Runs the unit again; it ends with 0.
fn one_more(unit: &Path) {
    let (path, entered, go) = (unit.to_owned(), Channel::new(), Channel::new());
    let before = sys::now_ns();
    let again = spawn("again", move || {
        enter(&path);
        entered.send(1);
        go.receive();
        0
    });
    entered.receive();
    began(unit, before);
    go.send(1);
    wait("scenario", "again", again);
    ended(unit);
}

/// Runs the unit with a process that moves to the parent cgroup.
fn moved(unit: &Path) {
    let (path, entered, go, left) = (unit.to_owned(), Channel::new(), Channel::new(), Channel::new());
    let before = sys::now_ns();
    let guest = spawn("guest", move || {
        enter(&path);
        entered.send(1);
        go.receive();
        enter(path.parent().unwrap_or(&path));
        left.send(1);
        go.receive();
        0
    });
    entered.receive();
    began(unit, before);
    go.send(1);
    left.receive();
    ended(unit);
    go.send(1);
    wait("scenario", "guest", guest);
}

/// Prints that the first process is in the unit, and the earliest time for that.
fn began(unit: &Path, before: i64) {
    proc::until("a process in the unit", || is_populated(unit));
    span("began", before);
}

/// Waits until the unit has no process, and prints that.
fn ended(unit: &Path) {
    proc::until("the end of the unit", || !is_populated(unit));
    // This read takes the lock under which the kernel reports the change.
    let _ = fs::read(unit.join("cgroup.procs"));
    Fact::new("empty").emit();
    pause("empty");
}

/// Whether `cgroup.events`, or in v1 `cgroup.procs`, shows a task in a cgroup.
fn is_populated(unit: &Path) -> bool {
    fs::read_to_string(unit.join("cgroup.events")).map_or_else(
        |_| fs::read(unit.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty()),
        |events| events.lines().any(|line| line == "populated 1"),
    )
}

/// Adds the time span in which something has happened.
fn span(kind: &str, before: i64) {
    Fact::new(kind).number("before_ns", before).number("after_ns", sys::now_ns()).emit();
}
