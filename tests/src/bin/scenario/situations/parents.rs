//! Parents that do not reap for reasons that are easily mistaken, and killed processes that have not ended.

use std::fs;

use crate::{
    Entry,
    actor::{announce, spawn, thread, wait},
    fact::{Fact, die, die_with, pause},
    owing::{finish, owes},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("exec-over", "a parent forks a child and execs another program before the child dies", exec_over),
    ("sleeper", "sleeps for ever; what `exec-over` execs", |_| {
        sys::sleep_for_ever();
    }),
    (
        "parent-frozen",
        "a parent in the cgroup PROCS is frozen by FILE WORD, and thawed by WORD",
        parent_frozen,
    ),
    ("mask-of-ppoll", "a parent whose handler reaps sits in ppoll(2) with SIGCHLD masked", |_| {
        owes(mask_of_ppoll);
    }),
    (
        "sigwait-elsewhere",
        "a thread sits in sigwait(3) for SIGCHLD, the forking thread does not block it",
        |_| {
            owes(sigwait_elsewhere);
        },
    ),
    ("signalfd-unread", "a parent has a signalfd for SIGCHLD and does not read it", |_| {
        owes(signalfd_unread);
    }),
    ("waits-for-stops", "a parent waits in waitid(2) for children that stop", |_| owes(waits_for_stops)),
    ("vfork-traced", "the vfork child that holds a parent is stopped by a tracer", vfork_traced),
    ("killed-traced", "a process is killed and stopped at PTRACE_EVENT_EXIT by its tracer", killed_traced),
    ("dead-traced", "all threads of a process are dead, its tracer has not waited for them", dead_traced),
    ("failed-spawns", "a parent waits for children that fail to exec, and leaves one", |_| {
        owes(failed_spawns);
    }),
];

fn exec_over(_: &[String]) {
    let (made, gate) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        sys::set_comm(b"launcher");
        made.send(spawn("child", || {
            gate.receive();
            0
        }));
        sys::exec_self(&["sleeper"])
    });
    let child = made.receive();
    proc::until("waiting for the exec", || {
        fs::read(format!("/proc/{parent}/cmdline")).is_ok_and(|line| line.ends_with(b"\0sleeper\0"))
    });
    gate.send(0);
    proc::until_state(child, 'Z');
    finish(parent);
}

fn parent_frozen(args: &[String]) {
    let [procs, file, freeze, thaw] = args else {
        eprintln!("scenario parent-frozen: give PROCS FILE WORD WORD");
        std::process::exit(2);
    };
    let set = |file: &str, word: &str| {
        if let Err(error) = fs::write(file, word) {
            die_with(&format!("writing {file}"), error.raw_os_error().unwrap_or(0));
        }
    };
    let (made, gate) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        sys::on_sigchld(reap_all as *const () as libc::sighandler_t, libc::SA_RESTART);
        made.send(spawn("child", || {
            gate.receive();
            0
        }));
        set(procs, "0");
        made.send(0);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    made.receive();
    proc::until_asleep(parent, parent);
    set(file, freeze);
    gate.send(0);
    proc::until_state(child, 'Z');
    pause("owed");
    set(file, thaw);
    proc::until_gone(child, child);
    pause("thawed");
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
}

extern "C" fn reap_all(_: libc::c_int) {
    while matches!(sys::wait4(-1, libc::WNOHANG), Ok((pid, _)) if pid > 0) {}
}

fn dead_child() -> Pid {
    let child = spawn("child", || 0);
    proc::until_state(child, 'Z');
    child
}

fn set_of(signal: i32) -> libc::sigset_t {
    // SAFETY: both calls write to the local set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        set
    }
}

fn mask_of_ppoll(made: Channel) {
    sys::on_sigchld(reap_all as *const () as libc::sighandler_t, libc::SA_RESTART);
    let gate = Channel::new();
    let child = spawn("child", || {
        gate.receive();
        0
    });
    made.send(child);
    let mask = set_of(libc::SIGCHLD);
    let length = libc::timespec { tv_sec: 3_600, tv_nsec: 0 };
    // The child may end before the call begins.
    sys::block(libc::SIGCHLD);
    gate.send(0);
    // SAFETY: no descriptors; the length and the mask are valid for the call.
    unsafe { libc::ppoll(std::ptr::null_mut(), 0, &raw const length, &raw const mask) };
}

fn sigwait_elsewhere(made: Channel) {
    let waiting = Channel::new();
    thread("waiter", move || {
        sys::block(libc::SIGCHLD);
        waiting.send(sys::gettid());
        let set = set_of(libc::SIGCHLD);
        let mut signal = 0;
        loop {
            // SAFETY: both outlive the call.
            unsafe { libc::sigwait(&raw const set, &raw mut signal) };
            reap_all(signal);
        }
    });
    proc::until_asleep(sys::getpid(), waiting.receive());
    made.send(dead_child());
}

fn signalfd_unread(made: Channel) {
    sys::block(libc::SIGCHLD);
    let set = set_of(libc::SIGCHLD);
    // SAFETY: the set outlives the call, which makes a new descriptor.
    if unsafe { libc::signalfd(-1, &raw const set, 0) } < 0 {
        die("signalfd");
    }
    made.send(dead_child());
}

fn waits_for_stops(made: Channel) {
    // Without a living child, its wait would fail at once.
    spawn("other", || sys::sleep_for_ever());
    made.send(dead_child());
    let mut unused = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the kernel writes to `unused`, which is not read.
    unsafe { libc::waitid(libc::P_ALL, 0, unused.as_mut_ptr(), libc::WSTOPPED | libc::WCONTINUED) };
}

/// Waits for children that fail to exec, and so use nothing that the kernel accounts for.
fn failed_spawns(made: Channel) {
    for _ in 0..3 {
        let child = sys::clone_vm(libc::CLONE_VFORK, || 127);
        let _ = sys::wait4(child, 0);
    }
    made.send(dead_child());
}

fn ptrace(request: libc::c_uint, pid: Pid, data: libc::c_long) {
    // SAFETY: none of the requests used here takes a pointer.
    if unsafe { libc::ptrace(request, pid, 0, data) } != 0 {
        die("ptrace");
    }
}

fn stopped_in(pid: Pid) {
    if let Err(errno) = sys::wait4(pid, libc::__WALL) {
        die_with("wait4", errno);
    }
}

fn vfork_traced(_: &[String]) {
    let (gate, held) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        gate.receive();
        sys::clone_vm(libc::CLONE_VFORK, || 0);
        sys::sleep_for_ever()
    });
    let tracer = spawn("tracer", || {
        ptrace(libc::PTRACE_SEIZE, parent, libc::PTRACE_O_TRACEVFORK.into());
        gate.send(0);
        // The parent stops in its vfork and is continued; the child, also traced, stays stopped.
        stopped_in(parent);
        ptrace(libc::PTRACE_CONT, parent, 0);
        held.send(0);
        sys::sleep_for_ever()
    });
    held.receive();
    proc::until_state(parent, 'D');
    let Some(holder) = proc::youngest_child(parent) else {
        die_with("looking for the vfork child", libc::ESRCH)
    };
    announce("holder", holder, holder);
    proc::until_state(holder, 't');
    pause("held");
    for pid in [tracer, parent] {
        sys::kill(pid, libc::SIGKILL);
        wait("scenario", if pid == tracer { "tracer" } else { "parent" }, pid);
    }
}

fn killed_traced(_: &[String]) {
    let held = Channel::new();
    let victim = spawn("victim", || sys::sleep_for_ever());
    let tracer = spawn("tracer", || {
        ptrace(libc::PTRACE_SEIZE, victim, libc::PTRACE_O_TRACEEXIT.into());
        sys::kill(victim, libc::SIGKILL);
        stopped_in(victim);
        held.send(0);
        sys::sleep_for_ever()
    });
    held.receive();
    proc::until_state(victim, 't');
    pause("held");
    sys::kill(tracer, libc::SIGKILL);
    wait("scenario", "tracer", tracer);
    wait("scenario", "victim", victim);
}

fn dead_traced(_: &[String]) {
    let (threads, held) = (Channel::new(), Channel::new());
    let victim = spawn("victim", || {
        thread("second", move || {
            threads.send(sys::gettid());
            sys::sleep_for_ever();
        });
        sys::sleep_for_ever()
    });
    let second = threads.receive();
    let tracer = spawn("tracer", || {
        for tid in [victim, second] {
            ptrace(libc::PTRACE_SEIZE, tid, 0);
        }
        held.send(0);
        sys::sleep_for_ever()
    });
    held.receive();
    sys::kill(victim, libc::SIGKILL);
    proc::until_state(victim, 'Z');
    proc::until("waiting for the second thread to be dead", || {
        proc::Stat::read(victim, second).is_some_and(|stat| stat.state == 'Z')
    });
    Fact::new("second").number("tid", second).emit();
    pause("held");
    sys::kill(tracer, libc::SIGKILL);
    wait("scenario", "tracer", tracer);
    wait("scenario", "victim", victim);
}
