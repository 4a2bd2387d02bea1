//! Tasks that wait and sleep in known ways, each kind in a cgroup of its own, with the scheduler's own account of them.

use std::fs;

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die_with, pause, skip},
    number, sys,
    sys::{Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("scheduled", "naps, rivals for a CPU, a vfork and a stop, each in the next of four cgroups", scheduled),
    ("ping-pong", "two processes on one CPU that answer each other TURNS (500) times", ping_pong),
];

/// Naps, and how long each of them is, ms.
const NAPS: i32 = 20;
const NAP_MS: i64 = 10;
/// For how long the rivals compute, ms.
const RIVALRY_MS: i64 = 300;
/// How long the child of the vfork makes its parent wait, ms; and how long the stop lasts.
const HELD_MS: i64 = 50;

/// A process that waits where it is told to live, acts, and waits again.
struct Worker {
    role: &'static str,
    pid: Pid,
    ready: Channel,
    go: Channel,
}

impl Worker {
    fn spawn(role: &'static str, cgroup: &str, act: fn()) -> Self {
        let (ready, go) = (Channel::new(), Channel::new());
        let procs = format!("{cgroup}/cgroup.procs");
        let pid = spawn(role, move || {
            if let Err(error) = fs::write(&procs, "0") {
                die_with(&format!("writing {procs}"), error.raw_os_error().unwrap_or(0));
            }
            ready.send(0);
            go.receive();
            act();
            ready.send(0);
            go.receive();
            0
        });
        ready.receive();
        Self { role, pid, ready, go }
    }

    /// Waits until it sleeps, and says what the kernel has counted of it.
    fn account(&self, when: &str) {
        until_in_state(self.pid, 'S');
        let text = read(&format!("/proc/{}/schedstat", self.pid));
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<i64>().unwrap_or(-1));
        Fact::new("schedstat")
            .text("role", self.role)
            .text("when", when)
            .number("pid", self.pid)
            .number("run_ns", numbers.next().unwrap_or(-1))
            .number("run_delay_ns", numbers.next().unwrap_or(-1))
            .number("run_count", numbers.next().unwrap_or(-1))
            .emit();
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| skip(&format!("reading {path}"), error.raw_os_error().unwrap_or(0)))
}

fn until_in_state(pid: Pid, state: char) {
    while !read(&format!("/proc/{pid}/stat")).rsplit(") ").next().is_some_and(|rest| rest.starts_with(state))
    {
        sys::breathe();
    }
}

fn scheduled(args: &[String]) {
    let [naps, rivals, vfork, stop] = args else {
        eprintln!("scenario scheduled: give four cgroups");
        std::process::exit(2);
    };
    let mut workers = vec![Worker::spawn("naps", naps, || (0..NAPS).for_each(|_| nap(NAP_MS)))];
    workers.extend((0..3).map(|_| Worker::spawn("rivals", rivals, compute)));
    workers.push(Worker::spawn("vfork", vfork, hold_by_vfork));
    let stopped = Worker::spawn("stop", stop, || {});
    for worker in &workers {
        worker.account("before");
    }
    stopped.account("before");
    pause("before");
    for worker in &workers {
        worker.go.send(0);
    }
    sys::kill(stopped.pid, libc::SIGSTOP);
    until_in_state(stopped.pid, 'T');
    nap(HELD_MS);
    sys::kill(stopped.pid, libc::SIGCONT);
    workers.push(stopped);
    for worker in &workers {
        if worker.role != "stop" {
            worker.ready.receive();
        }
        worker.account("after");
    }
    Fact::new("acted")
        .number("naps", NAPS)
        .number("nap_ns", NAP_MS * 1_000_000)
        .number("held_ns", HELD_MS * 1_000_000)
        .emit();
    pause("after");
    for worker in workers {
        worker.go.send(0);
        if worker.role == "stop" {
            worker.go.send(0);
        }
        wait("scenario", worker.role, worker.pid);
    }
}

fn nap(ms: i64) {
    let length = libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    // SAFETY: `length` is valid; the remainder may be null.
    unsafe { libc::nanosleep(&raw const length, std::ptr::null_mut()) };
}

/// Computes on the first CPU, as others do at the same time.
fn compute() {
    pin();
    let end = sys::now_ns() + RIVALRY_MS * 1_000_000;
    while sys::now_ns() < end {
        std::hint::spin_loop();
    }
}

fn pin() {
    // SAFETY: all zeroes are an empty set; the set is valid for the call.
    let pinned = unsafe {
        let mut first: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut first);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const first)
    };
    if pinned != 0 {
        die_with("sched_setaffinity", sys::errno());
    }
}

fn hold_by_vfork() {
    let child = sys::clone_vm(libc::CLONE_VFORK, || {
        // The child can be faster than its parent, which is on its way to sleep.
        until_in_state(sys::getppid(), 'D');
        nap(HELD_MS);
        0
    });
    // Its status says nothing that matters here.
    let _ = sys::wait4(child, libc::__WALL);
}

fn ping_pong(args: &[String]) {
    let turns = number(args, 0, 500);
    let (there, back, done) = (Channel::new(), Channel::new(), Channel::new());
    let answer = spawn("pong", move || {
        pin();
        there.receive();
        (0..turns).for_each(|_| back.send(there.receive()));
        done.send(0);
        there.receive()
    });
    let ask = spawn("ping", move || {
        pin();
        back.receive();
        for turn in 0..turns {
            there.send(turn);
            back.receive();
        }
        done.send(0);
        back.receive()
    });
    let switches = |when: &str| {
        for (role, pid) in [("pong", answer), ("ping", ask)] {
            until_in_state(pid, 'S');
            let status = read(&format!("/proc/{pid}/status"));
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|value| value.trim().parse::<i64>().ok()).unwrap_or(-1)
            };
            Fact::new("switches")
                .text("role", role)
                .text("when", when)
                .number("pid", pid)
                .number("voluntary", of("voluntary_ctxt_switches:"))
                .number("involuntary", of("nonvoluntary_ctxt_switches:"))
                .emit();
        }
    };
    switches("before");
    pause("before");
    // The one that answers first: else it would take a question for its sign to begin.
    there.send(0);
    until_in_state(answer, 'S');
    back.send(0);
    done.receive();
    done.receive();
    switches("after");
    pause("after");
    there.send(0);
    back.send(0);
    wait("scenario", "pong", answer);
    wait("scenario", "ping", ask);
}
