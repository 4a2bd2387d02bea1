//! Orphans: to init, to the nearest subreaper, to a sibling thread of the dead parent.

use crate::{
    Entry,
    actor::{join, spawn, spawn_with, thread, wait},
    fact::pause,
    proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("orphan", "a grandchild outlives its parent and goes to init", orphan_of_init),
    ("nested-subreapers", "an orphan goes to the inner, then to the outer subreaper", nested_subreapers),
    ("orphan-signal", "an orphan whose exit signal was SIGUSR1 goes to a subreaper", orphan_signal),
    (
        "orphaned-zombies",
        "a parent is killed while it has five zombies, then the subreaper that they go to; with `at-once` right after",
        orphaned_zombies,
    ),
    ("sibling-thread", "a thread forks and ends: its child goes to a sibling thread", sibling_thread),
];

fn orphan_of_init(_: &[String]) {
    let go_ahead = Channel::new();
    let born = Channel::new();
    let middle = spawn("middle", || {
        born.send(spawn("orphan", || {
            go_ahead.receive();
            12
        }));
        0
    });
    let orphan = born.receive();
    // Once the parent can be reaped, its children have been reparented.
    wait("scenario", "middle", middle);
    proc::at("orphaned", "orphan", orphan);
    pause("orphaned");
    go_ahead.send(0);
    proc::until_gone(orphan, orphan);
}

fn orphan_signal(_: &[String]) {
    sys::be_subreaper();
    let go_ahead = Channel::new();
    let born = Channel::new();
    let middle = spawn("middle", || {
        born.send(spawn_with("orphan", 0, libc::SIGUSR1, || {
            go_ahead.receive();
            19
        }));
        0
    });
    let orphan = born.receive();
    wait("scenario", "middle", middle);
    go_ahead.send(0);
    // A plain wait sees it: the kernel has made SIGCHLD its exit signal.
    wait("scenario", "orphan", orphan);
}

fn nested_subreapers(_: &[String]) {
    let orphan_gate = Channel::new();
    let outer_gate = Channel::new();
    let inner_gate = Channel::new();
    let born = Channel::new();
    let events = Channel::new();
    let outer = spawn("outer", || {
        sys::be_subreaper();
        let inner = spawn("inner", || {
            sys::be_subreaper();
            let middle = spawn("middle", || {
                born.send(spawn("orphan", || {
                    orphan_gate.receive();
                    13
                }));
                0
            });
            wait("inner", "middle", middle);
            events.send(0);
            inner_gate.receive();
            0
        });
        wait("outer", "inner", inner);
        events.send(0);
        wait("outer", "orphan", outer_gate.receive());
        0
    });
    let orphan = born.receive();
    events.receive();
    proc::at("with-inner", "orphan", orphan);
    pause("with-inner");
    inner_gate.send(0);
    events.receive();
    proc::at("with-outer", "orphan", orphan);
    pause("with-outer");
    orphan_gate.send(0);
    outer_gate.send(orphan);
    wait("scenario", "outer", outer);
}

/// Zombies that lose their parent.
const ZOMBIES: i32 = 5;

fn orphaned_zombies(args: &[String]) {
    let at_once = args.first().is_some_and(|arg| arg == "at-once");
    sys::be_subreaper();
    let (born, middles) = (Channel::new(), Channel::new());
    let inner = spawn("inner", || {
        sys::be_subreaper();
        middles.send(spawn("middle", || {
            for n in 0..ZOMBIES {
                born.send(spawn(&orphan(n), || n));
            }
            sys::sleep_for_ever()
        }));
        sys::sleep_for_ever()
    });
    let middle = middles.receive();
    let orphans: Vec<_> = (0..ZOMBIES).map(|_| born.receive()).collect();
    for &orphan in &orphans {
        proc::until_state(orphan, 'Z');
    }
    pause("zombies");
    sys::kill(middle, libc::SIGKILL);
    until_children_of(inner, &orphans);
    if !at_once {
        pause("with-inner");
    }
    sys::kill(inner, libc::SIGKILL);
    until_children_of(sys::getpid(), &orphans);
    pause("with-outer");
    wait("scenario", "inner", inner);
    wait("scenario", "middle", middle);
    for (n, &pid) in (0..).zip(&orphans) {
        wait("scenario", &orphan(n), pid);
    }
}

fn orphan(n: i32) -> String {
    format!("orphan-{n}")
}

/// Waits until /proc shows each of them as a child of `parent`.
fn until_children_of(parent: sys::Pid, children: &[sys::Pid]) {
    let is_child = |&pid: &sys::Pid| {
        proc::Stat::read(pid, pid).is_some_and(|stat| stat.ppid() == i64::from(parent) && stat.state == 'Z')
    };
    proc::until("a new parent", || children.iter().all(is_child));
}

fn sibling_thread(_: &[String]) {
    let go_ahead = Channel::new();
    let born = Channel::new();
    let tids = Channel::new();
    let ended = Channel::new();
    let go_on = Channel::new();
    let group = spawn("group", || {
        let forker = thread("forker", move || {
            tids.send(sys::gettid());
            born.send(spawn("child", || {
                go_ahead.receive();
                14
            }));
            go_on.receive();
        });
        join(forker);
        ended.send(0);
        let child = go_on.receive();
        wait("group", "child", child);
        0
    });
    let forker = tids.receive();
    let child = born.receive();
    proc::at("before", "child", child);
    go_on.send(0);
    ended.receive();
    proc::until_gone(group, forker);
    proc::at("reparented", "child", child);
    pause("reparented");
    go_ahead.send(0);
    go_on.send(child);
    wait("scenario", "group", group);
}
