//! Commands for `taskscope job`: each prints what it used, which processes it left behind, and why it took as long as it did.

use std::{path::Path, time::Duration};

use crate::{
    Entry, cgroups,
    fact::{Fact, die, die_with},
    number, proc,
    sys::{self, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("job-tree", "N (20) children that work, each with a child of its own; all are waited for", tree),
    (
        "job-schedule",
        "children one after the other, side by side and beside it: the critical path is known",
        schedule,
    ),
    ("job-daemon", "a daemon of a double fork with two children outlives the command", daemon),
    (
        "job-unwaited",
        "N (20) autoreaped children, one orphan, and a zombie that is waited for late",
        unwaited,
    ),
    ("job-loop", "N (1000) processes, each forked by the one before", fork_loop),
    (
        "job-cgroup",
        "moves to the cgroup PATH; then children that are waited for, autoreaped ones, and an orphan work there",
        in_cgroup,
    ),
    ("job-exit", "exits with N", exit),
    ("job-kill", "kills itself with signal N", kill_itself),
    ("job-until", "says that it runs and waits for SIGTERM; exits with 42", until_term),
    ("job-endless", "forks and waits without end; says so after N (100) children", endless),
    ("job-kill-parent", "kills its parent, and goes on until it has another one", kill_parent),
];

/// Returns the CPU time that this thread, the only one of its process, has used, ns.
fn cpu_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `time`, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Uses this much CPU time, ns.
fn work_for(ns: i64) {
    let until = cpu_ns() + ns;
    while cpu_ns() < until {
        std::hint::spin_loop();
    }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn child(act: impl FnOnce()) -> Pid {
    sys::fork().unwrap_or_else(|| {
        act();
        sys::exit_group(0)
    })
}

fn wait(pid: Pid) {
    if let Err(errno) = sys::wait4(pid, 0) {
        die_with("wait4", errno);
    }
}

fn tree(args: &[String]) {
    for turn in 0..number(args, 0, 20) {
        wait(child(|| {
            work_for(i64::from(turn % 20) * 300_000);
            wait(child(|| work_for(700_000)));
        }));
    }
}

/// The critical path is: this process, `one`, this process, `long`, this process, `last`, this process. `short` ends long before
/// `long`, and `beside` ends long before this process waits for it.
fn schedule(_: &[String]) {
    sleep(30);
    let one = child(|| sleep(200));
    wait(one);
    let short = child(|| sleep(100));
    let long = child(|| sleep(400));
    for pid in [short, long] {
        wait(pid);
    }
    let beside = child(|| sleep(50));
    sleep(1500);
    wait(beside);
    let last = child(|| sleep(150));
    wait(last);
    sleep(30);
    let me = sys::getpid();
    Fact::new("path").numbers("pids", &[me, one, me, long, me, last, me]).emit();
    Fact::new("beside").numbers("pids", &[short, beside]).emit();
}

fn close_streams() {
    for fd in 0..3 {
        // SAFETY: nothing of this process uses its standard streams from here on.
        unsafe { libc::close(fd) };
    }
}

fn daemon(_: &[String]) {
    let mut pipe = [0; 2];
    // SAFETY: the pointer is to two descriptors that outlive the call.
    if unsafe { libc::pipe(pipe.as_mut_ptr()) } < 0 {
        die("pipe");
    }
    wait(child(|| {
        // SAFETY: the call has no arguments.
        unsafe { libc::setsid() };
        child(|| {
            let children = [child(rest), child(rest)];
            let pids = [sys::getpid(), children[0], children[1]];
            let bytes: Vec<u8> = pids.iter().flat_map(|pid| pid.to_ne_bytes()).collect();
            sys::write_all(pipe[1], &bytes);
            rest();
        });
    }));
    let mut bytes = [0_u8; 12];
    let mut read = 0;
    while read < bytes.len() {
        match sys::read(pipe[0], &mut bytes[read..]) {
            0 => die("read"),
            more => read += more,
        }
    }
    let pids: Vec<Pid> =
        bytes.chunks_exact(4).map(|four| Pid::from_ne_bytes([four[0], four[1], four[2], four[3]])).collect();
    Fact::new("left").numbers("pids", &pids).emit();
}

/// Lives on without the streams of the test.
fn rest() {
    close_streams();
    sys::sleep_for_ever()
}

/// Leaves a child that works once it has another parent. If it ended before, it would be a zombie that its parent left.
fn orphan(ns: i64) {
    let parent = sys::getpid();
    child(|| {
        proc::until("another parent", || sys::getppid() != parent);
        work_for(ns);
    });
}

fn unwaited(args: &[String]) {
    let count = number(args, 0, 20);
    // The kernel adds the usage of these children to no process, because SIGCHLD is ignored.
    let parent = child(|| {
        sys::on_sigchld(libc::SIG_IGN, 0);
        for _ in 0..count {
            child(|| work_for(1_000_000));
        }
        // Returns (ECHILD) once all children are gone.
        let _ = sys::wait4(-1, 0);
    });
    wait(parent);
    let zombie = child(|| {});
    proc::until_state(zombie, 'Z');
    sleep(2500);
    wait(zombie);
    // An orphan that ends before the command does.
    wait(child(|| orphan(5_000_000)));
    sleep(300);
    Fact::new("zombie").number("pid", zombie).emit();
}

fn in_cgroup(args: &[String]) {
    let Some(path) = args.first() else { die("no cgroup") };
    // The cgroup does not count what this process used before its move, which happens between these two readings. Reading the clock
    // also makes the kernel account for that usage.
    let before = cpu_ns();
    cgroups::enter(Path::new(path));
    let moved = cpu_ns();
    tree(&["5".to_owned()]);
    wait(child(|| {
        sys::on_sigchld(libc::SIG_IGN, 0);
        for _ in 0..5 {
            child(|| work_for(2_000_000));
        }
        let _ = sys::wait4(-1, 0);
    }));
    wait(child(|| orphan(5_000_000)));
    sleep(300);
    Fact::new("moved").number("before_ns", before).number("moved_ns", moved).emit();
}

fn fork_loop(args: &[String]) {
    let left = number(args, 0, 1000);
    let mut depth = 0;
    let first = sys::getpid();
    // Each forks the next one and waits for it.
    while depth < left {
        match sys::fork() {
            None => depth += 1,
            Some(pid) => {
                wait(pid);
                break;
            }
        }
    }
    if sys::getpid() != first {
        sys::exit_group(0);
    }
}

fn exit(args: &[String]) {
    sys::exit_group(number(args, 0, 0));
}

fn kill_itself(args: &[String]) {
    sys::kill(sys::getpid(), number(args, 0, libc::SIGKILL));
    sys::sleep_for_ever();
}

fn endless(args: &[String]) {
    let count = number(args, 0, 100);
    for turn in 1.. {
        wait(child(|| {}));
        if turn == count {
            Fact::new("forks").emit();
        }
    }
}

fn kill_parent(_: &[String]) {
    let parent = sys::getppid();
    sys::kill(parent, libc::SIGKILL);
    while sys::getppid() == parent {
        sleep(5);
    }
    Fact::new("goes-on").number("pid", sys::getpid()).emit();
}

fn until_term(_: &[String]) {
    sys::block(libc::SIGTERM);
    Fact::new("runs").emit();
    while !sys::is_pending(libc::SIGTERM) {
        sleep(5);
    }
    sys::exit_group(42);
}
