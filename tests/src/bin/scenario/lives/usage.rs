//! What processes use, as wait4(2) reports it to their parent.
//!
//! Everything runs on one CPU, and a task becomes a real-time task before it ends. So no task, not even the parent that its end
//! wakes, runs before its last switch, and wait4(2) then reports all that it ever used.

use crate::{
    Entry,
    actor::{join, spawn, thread},
    fact::{Fact, die, die_with, pause, skip},
    number, proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "usage",
        "N (1000) short processes of several sorts, each waited for with its rusage; `free`: any CPU",
        many,
    ),
    ("thread-usage", "a process with N (8) threads that end one after the other", with_threads),
    (
        "tree-usage",
        "a process that uses CPU time, with an ended thread, N (10) ended children, a zombie, and a living child",
        in_a_tree,
    ),
];

/// Pages that a child touches.
const PAGES: usize = 64;
const PAGE: usize = 4096;

/// The result of a wait.
struct Waited {
    pid: Pid,
    usage: libc::rusage,
}

fn many(args: &[String]) {
    let count = number(args, 0, 1000);
    let is_free = args.get(1).is_some_and(|word| word == "free");
    if !is_free {
        prepare();
    }
    let mut waited = Vec::new();
    for turn in 0..count {
        match sys::fork() {
            None => {
                work(turn, is_free);
                end(0, is_free)
            }
            Some(pid) => waited.push(wait_with_usage(pid)),
        }
    }
    reported(&waited);
    all_children();
    pause("counted");
}

/// Does the work of a child, which depends on its number.
fn work(turn: i32, is_free: bool) {
    match turn % 8 {
        0 | 1 => {}
        2 => spin(1_000_000),
        3 => touch(PAGES),
        4 => (0..20).for_each(|_| sched_yield()),
        5 => std::thread::sleep(std::time::Duration::from_micros(100)),
        // A grandchild that is waited for.
        6 => {
            if sys::fork().is_none() {
                touch(8);
                end(0, is_free);
            }
            if let Err(errno) = sys::wait4(-1, 0) {
                die_with("wait4", errno);
            }
        }
        // The grandchild is autoreaped: this wait returns after its release.
        _ => {
            sys::on_sigchld(libc::SIG_IGN, 0);
            if sys::fork().is_none() {
                spin(50_000);
                end(0, is_free);
            }
            match sys::wait4(-1, 0) {
                Err(libc::ECHILD) => {}
                other => die_with("wait4 with SIGCHLD ignored", other.err().unwrap_or(0)),
            }
        }
    }
}

/// Makes the task real-time, so that no other task runs on this CPU before its last switch.
fn end(code: i32, is_free: bool) -> ! {
    if !is_free {
        run_to_the_end();
    }
    sys::exit_group(code)
}

fn with_threads(args: &[String]) {
    let count = number(args, 0, 8);
    prepare();
    let Some(pid) = sys::fork() else {
        let threads: Vec<_> = (0..count)
            .map(|turn| {
                let act = move || {
                    if turn % 2 == 0 {
                        spin(2_000_000);
                    } else {
                        touch(PAGES);
                    }
                    run_to_the_end();
                };
                std::thread::Builder::new()
                    .spawn(act)
                    .unwrap_or_else(|error| die_with("pthread_create", error.raw_os_error().unwrap_or(0)))
            })
            .collect();
        threads.into_iter().for_each(join);
        end(0, false)
    };
    until_it_has_left_its_cpu(pid);
    reported(&[wait_with_usage(pid)]);
    all_children();
    pause("counted");
}

/// CPU time that each process uses, ns.
const WORK_NS: i64 = 5_000_000;

/// CPU time of the thread, ns: longer than the host can stop the CPU while the thread ends, so that this is not mistaken for a
/// second thread.
const THREAD_WORK_NS: i64 = 200_000_000;

fn in_a_tree(args: &[String]) {
    let count = number(args, 0, 10);
    prepare();
    let (go_ahead, ready) = (Channel::new(), Channel::new());
    let worker = spawn("worker", || {
        join(thread("thread", || {
            work_for(THREAD_WORK_NS);
            run_to_the_end();
        }));
        for _ in 0..count {
            let Some(pid) = sys::fork() else {
                work_for(WORK_NS);
                end(0, false)
            };
            until_it_has_left_its_cpu(pid);
            wait_with_usage(pid);
        }
        let zombie = spawn("zombie", || {
            work_for(WORK_NS);
            end(0, false)
        });
        proc::until_state(zombie, 'Z');
        let sleeper = spawn("sleeper", || {
            work_for(2 * WORK_NS);
            ready.send(0);
            go_ahead.receive()
        });
        all_children();
        ready.send(0);
        go_ahead.receive();
        for child in [zombie, sleeper] {
            wait_with_usage(child);
        }
        0
    });
    for _ in 0..2 {
        ready.receive();
    }
    pause("counted");
    for _ in 0..2 {
        go_ahead.send(0);
    }
    wait_with_usage(worker);
}

/// Uses this much CPU time, however long that takes.
fn work_for(ns: i64) {
    let end = used_ns() + ns;
    while used_ns() < end {
        std::hint::spin_loop();
    }
}

/// Returns the CPU time of this thread so far.
fn used_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `time`, which outlives the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        die("clock_gettime(CLOCK_THREAD_CPUTIME_ID)");
    }
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn spin(ns: i64) {
    let end = sys::now_ns() + ns;
    while sys::now_ns() < end {
        std::hint::spin_loop();
    }
}

fn touch(pages: usize) {
    let size = pages * PAGE;
    // SAFETY: this creates a new private mapping.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        die("mmap");
    }
    for page in 0..pages {
        // SAFETY: the address is inside of the mapping just made.
        unsafe { memory.cast::<u8>().add(page * PAGE).write_volatile(1) };
    }
}

fn sched_yield() {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::sched_yield() };
}

fn keep_to_one_cpu() {
    // SAFETY: cpu_set_t is plain data for which zeroes are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to `set`, which outlives the call.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        die("sched_getaffinity");
    }
    // SAFETY: CPU_ISSET reads inside of `set`.
    let is_in = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    let cpu = (0..libc::CPU_SETSIZE as usize).rev().find(is_in).unwrap_or(0);
    // SAFETY: the set is plain data for which zeroes are valid.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPU_SET writes inside of `one`.
    unsafe { libc::CPU_SET(cpu, &mut one) };
    // SAFETY: `one` is valid for its size.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) } != 0 {
        die("sched_setaffinity");
    }
}

/// Binds all to one CPU and checks the right to real-time scheduling, which the scenario needs.
fn prepare() {
    keep_to_one_cpu();
    if let Err(errno) = schedule(libc::SCHED_FIFO, 1) {
        skip("sched_setscheduler(SCHED_FIFO)", errno);
    }
    if schedule(libc::SCHED_OTHER, 0).is_err() {
        die("sched_setscheduler(SCHED_OTHER)");
    }
}

fn run_to_the_end() {
    if schedule(libc::SCHED_FIFO, 1).is_err() {
        die("sched_setscheduler(SCHED_FIFO)");
    }
}

fn schedule(policy: i32, priority: i32) -> Result<(), i32> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is valid; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const param) } == 0 {
        Ok(())
    } else {
        Err(sys::errno())
    }
}

/// Waits until a child has ended and has left its CPU for the last time, without reaping it. Usually both are true at once. But the
/// kernel lets other tasks run if real-time tasks took too long, for example because the host stopped their CPU. This is for few
/// children, because each poll takes long on a busy machine.
fn until_it_has_left_its_cpu(pid: Pid) {
    if let Err(errno) = sys::waitid(pid, libc::WEXITED | libc::WNOWAIT) {
        die_with("waitid", errno);
    }
    proc::until(&format!("waiting for the last switch of {pid}"), || proc::has_left_its_cpu(pid, pid));
}

fn wait_with_usage(pid: Pid) -> Waited {
    // SAFETY: rusage is plain data for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: both pointers are to values that outlive the call.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } != pid {
        die("wait4");
    }
    if status != 0 {
        die_with("a child that failed", status);
    }
    Waited { pid, usage }
}

fn reported(waited: &[Waited]) {
    let list = |of: fn(&libc::rusage) -> i64| -> Vec<i32> {
        waited.iter().map(|one| i32::try_from(of(&one.usage)).unwrap_or(i32::MAX)).collect()
    };
    Fact::new("rusages")
        .numbers("pids", &waited.iter().map(|one| one.pid).collect::<Vec<_>>())
        .numbers("user_us", &list(|usage| microseconds(usage.ru_utime)))
        .numbers("system_us", &list(|usage| microseconds(usage.ru_stime)))
        .numbers("voluntary", &list(|usage| usage.ru_nvcsw))
        .numbers("involuntary", &list(|usage| usage.ru_nivcsw))
        .numbers("minor", &list(|usage| usage.ru_minflt))
        .numbers("major", &list(|usage| usage.ru_majflt))
        .emit();
}

fn all_children() {
    // SAFETY: rusage is plain data for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to `usage`, which outlives the call.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        die("getrusage");
    }
    Fact::new("children")
        .number("user_us", microseconds(usage.ru_utime))
        .number("system_us", microseconds(usage.ru_stime))
        .number("voluntary", usage.ru_nvcsw)
        .number("involuntary", usage.ru_nivcsw)
        .number("minor", usage.ru_minflt)
        .number("major", usage.ru_majflt)
        .emit();
}

fn microseconds(time: libc::timeval) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_usec
}
