//! Tasks that wait and sleep in known ways, each kind in a cgroup of its own, with the scheduler's own account of them.

use std::{
    fs,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
};

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die_with, pause, skip},
    number, proc, sys,
    sys::{Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("scheduled", "naps, rivals for a CPU, a vfork and a stop, each in the next of four cgroups", scheduled),
    ("ping-pong", "two processes on one CPU that answer each other TURNS (500) times", ping_pong),
];

/// Number of naps, and the duration of each, ms.
const NAPS: i32 = 20;
const NAP_MS: i64 = 10;
/// The least time for which the rivals compute, ms, and how often each gets the CPU at least. The time alone is not enough, because
/// the host may stop the CPU meanwhile.
const RIVALRY_MS: i64 = 300;
const RIVALS: usize = 3;
const TURNS: i64 = 60;
/// How long the child of vfork(2) holds its parent, and how long the stop lasts, ms.
const HELD_MS: i64 = 50;

/// A process that waits until it is moved to its cgroup, acts, and waits again.
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

    /// Waits until the process sleeps, and prints its schedstat.
    fn account(&self, when: &str) {
        proc::until_state(self.pid, 'S');
        let [run_ns, run_delay_ns, run_count] = self.counted();
        Fact::new("schedstat")
            .text("role", self.role)
            .text("when", when)
            .number("pid", self.pid)
            .number("run_ns", run_ns)
            .number("run_delay_ns", run_delay_ns)
            .number("run_count", run_count)
            .emit();
    }

    /// Reads schedstat: time on a CPU, time of waiting for a CPU, and number of runs.
    fn counted(&self) -> [i64; 3] {
        let text = read(&format!("/proc/{}/schedstat", self.pid));
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(-1));
        std::array::from_fn(|_| numbers.next().unwrap_or(-1))
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| skip(&format!("reading {path}"), error.raw_os_error().unwrap_or(0)))
}

fn scheduled(args: &[String]) {
    let [naps, rivals, vfork, stop] = args else {
        eprintln!("scenario scheduled: give four cgroups");
        std::process::exit(2);
    };
    let are_to_stop = shared_flag();
    let mut workers = vec![Worker::spawn("naps", naps, || (0..NAPS).for_each(|_| nap(NAP_MS)))];
    workers.extend((0..RIVALS).map(|_| Worker::spawn("rivals", rivals, compute)));
    workers.push(Worker::spawn("vfork", vfork, hold_by_vfork));
    let stopped = Worker::spawn("stop", stop, || {});
    for worker in &workers {
        worker.account("before");
    }
    stopped.account("before");
    let turns = |workers: &[Worker]| -> i64 {
        let rivals = workers.iter().filter(|worker| worker.role == "rivals");
        rivals.map(|rival| rival.counted()[2]).sum()
    };
    let turns_before = turns(&workers);
    pause("before");
    let begun = sys::now_ns();
    for worker in &workers {
        worker.go.send(0);
    }
    sys::kill(stopped.pid, libc::SIGSTOP);
    proc::until_state(stopped.pid, 'T');
    nap(HELD_MS);
    sys::kill(stopped.pid, libc::SIGCONT);
    proc::until("waiting for rivals to take turns", || {
        sys::now_ns() - begun >= RIVALRY_MS * 1_000_000 && turns(&workers) - turns_before >= TURNS
    });
    are_to_stop.store(1, Ordering::Release);
    workers.push(stopped);
    for worker in &workers {
        if worker.role != "stop" {
            worker.ready.receive();
        }
        worker.account("after");
    }
    Fact::new("acted")
        .number("naps", NAPS)
        .number("turns", TURNS)
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
    // SAFETY: `length` outlives the call; the pointer for the remaining time may be null.
    unsafe { libc::nanosleep(&raw const length, std::ptr::null_mut()) };
}

/// Address of the shared word, which children inherit; null until it is made.
static FLAG: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());

/// Creates a futex word that is 0 at first and shared with all later children.
fn shared_flag() -> &'static AtomicU32 {
    // SAFETY: this creates a new shared mapping, which is never unmapped.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<AtomicU32>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        die_with("mmap", sys::errno());
    }
    FLAG.store(memory.cast(), Ordering::Release);
    flag()
}

fn flag() -> &'static AtomicU32 {
    // SAFETY: the pointer is null, or to the mapping, which is aligned, zeroed, and never unmapped.
    unsafe { FLAG.load(Ordering::Acquire).as_ref() }
        .unwrap_or_else(|| die_with("looking for the shared word", libc::EFAULT))
}

/// Computes on the first CPU, in competition with others, until it is stopped.
fn compute() {
    pin();
    while flag().load(Ordering::Acquire) == 0 {
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
        // The child may begin before its parent sleeps.
        proc::until_state(sys::getppid(), 'D');
        nap(HELD_MS);
        0
    });
    // Its status does not matter here.
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
            proc::until_state(pid, 'S');
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
    // The answering process begins first; otherwise it would take a question for its start signal.
    there.send(0);
    proc::until_state(answer, 'S');
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
