//! Processes that end by a signal, by themselves, or with their parent: what `taskscope deaths` must report.

use std::{fs, os::unix::process::CommandExt as _, path::Path};

use crate::{
    Entry,
    actor::{announce, spawn, wait},
    fact::{Fact, die, die_with, pause, skip},
    proc, sys,
    sys::Channel,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("death-killed", "a child is ended by SIGTERM of its sibling", |_| killed()),
    ("death-escalation", "a child ignores SIGTERM and is ended by SIGKILL of the same sender", |_| {
        escalation();
    }),
    ("death-itself", "a child sends SIGTERM to itself", |_| by_itself(libc::SIGTERM)),
    ("death-raised", "a child handles SIGTERM, and ends by sending it to itself", |_| raised()),
    ("death-abort", "a child calls abort(3)", |_| abort()),
    ("death-fault", "a child reads an address that is not mapped", |_| fault()),
    ("death-pipe", "a child writes to a pipe without a reader", |_| broken_pipe()),
    ("death-hangup", "the terminal of a session's leader is closed", |_| hangup()),
    ("death-key", "the interrupt key of a child's terminal is pressed", |_| key()),
    ("death-orphaned", "a stopped child's process group is orphaned by the exit of its parent", |_| {
        orphaned();
    }),
    ("death-timeout", "timeout(1) ends a command that ignores SIGTERM", |_| timeout()),
    ("death-child", "a child is killed, and its parent exits with 137", |_| killed_child()),
    ("death-asked", "a child handles SIGTERM and exits with a code", |_| asked()),
    ("death-signals", "a child is sent COUNT signals of number SIGNAL that it ignores", signals),
];

/// Waits for the child whose end the scenario is about.
pub(super) fn ends(child: sys::Pid) {
    wait("scenario", "child", child);
}

pub(super) fn sleeper() -> sys::Pid {
    let child = spawn("child", || sys::sleep_for_ever());
    proc::until_asleep(child, child);
    child
}

/// Creates a child that gets SIGKILL when the thread that calls this ends.
pub(super) fn bound_to_its_parent() -> sys::Pid {
    let ready = Channel::new();
    let child = spawn("child", || {
        // SAFETY: the call takes integers only.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    child
}

fn killed() {
    let child = sleeper();
    let sender = spawn("sender", move || {
        sys::kill(child, libc::SIGTERM);
        0
    });
    ends(child);
    wait("scenario", "sender", sender);
}

fn escalation() {
    let ready = Channel::new();
    let child = spawn("child", move || {
        sys::ignore(libc::SIGTERM);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::kill(child, libc::SIGTERM);
    sys::kill(child, libc::SIGKILL);
    ends(child);
}

fn by_itself(signal: i32) {
    let child = spawn("child", move || {
        sys::reset(signal);
        sys::kill(sys::getpid(), signal);
        sys::sleep_for_ever()
    });
    ends(child);
}

fn raised() {
    extern "C" fn raise(signal: i32) {
        sys::reset(signal);
        sys::kill(sys::getpid(), signal);
    }
    let ready = Channel::new();
    let child = spawn("child", move || {
        // SAFETY: the handler calls async-signal-safe functions only.
        unsafe { libc::signal(libc::SIGTERM, raise as *const () as libc::sighandler_t) };
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::kill(child, libc::SIGTERM);
    ends(child);
}

fn abort() {
    let child = spawn("child", || std::process::abort());
    ends(child);
}

fn fault() {
    let child = spawn("child", || {
        // Rust's runtime handles the signal to report stack overflows.
        sys::reset(libc::SIGSEGV);
        // SAFETY: the read is invalid on purpose: page 0 is never mapped, and this child must fault.
        unsafe { std::ptr::without_provenance::<u32>(16).read_volatile() }.cast_signed()
    });
    ends(child);
}

fn broken_pipe() {
    let child = spawn("child", || {
        sys::reset(libc::SIGPIPE);
        write_without_a_reader()
    });
    ends(child);
}

/// Writes to a pipe whose read end is closed.
pub(super) fn write_without_a_reader() -> i32 {
    let mut pipe = [0; 2];
    // SAFETY: the array has room for two descriptors and at least one byte to write.
    unsafe {
        libc::pipe(pipe.as_mut_ptr());
        libc::close(pipe[0]);
        libc::write(pipe[1], pipe.as_ptr().cast(), 1);
    }
    1
}

/// Returns the only child of a process.
pub(super) fn child_of(parent: sys::Pid) -> sys::Pid {
    children_of(parent)
        .first()
        .copied()
        .unwrap_or_else(|| die_with("finding the child of an init", libc::ESRCH))
}

/// Returns the children of a process, by /proc/PID/stat of all processes.
pub(super) fn children_of(parent: sys::Pid) -> Vec<sys::Pid> {
    let parent = parent.to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<sys::Pid>().ok());
    let is_child = |pid: &sys::Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(1) == Some(parent.as_str())
    };
    pids.filter(is_child).collect()
}

/// Returns the master and slave descriptors of a new pseudoterminal.
pub(super) fn open_terminal() -> (i32, i32) {
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: the pointers are to two variables; name, settings and size may be null.
    if unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) } != 0 {
        skip("openpty", sys::errno());
    }
    (master, slave)
}

/// Makes this process a session leader whose controlling terminal is `slave`.
pub(super) fn take_terminal(slave: i32) {
    // SAFETY: the calls take integers only.
    if unsafe { libc::setsid() < 0 || libc::ioctl(slave, libc::TIOCSCTTY, 0) != 0 } {
        die("taking a controlling terminal");
    }
}

fn hangup() {
    let (master, slave) = open_terminal();
    let ready = Channel::new();
    let child = spawn("child", move || {
        sys::reset(libc::SIGHUP);
        // SAFETY: the descriptor is open.
        unsafe { libc::close(master) };
        take_terminal(slave);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    // SAFETY: both descriptors are open and not used after this.
    unsafe {
        libc::close(slave);
        libc::close(master);
    }
    ends(child);
}

fn key() {
    let (master, slave) = open_terminal();
    let ready = Channel::new();
    let child = spawn("child", move || {
        sys::reset(libc::SIGINT);
        take_terminal(slave);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::write_all(master, b"\x03");
    ends(child);
}

/// A parent that leads a session leaves a stopped child in a process group of its own.
fn orphaned() {
    sys::be_subreaper();
    let (made, stopped) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        // SAFETY: no arguments.
        if unsafe { libc::setsid() } < 0 {
            die("setsid");
        }
        let ready = Channel::new();
        let child = spawn("child", || {
            sys::lead_a_group();
            sys::reset(libc::SIGHUP);
            ready.send(1);
            sys::sleep_for_ever()
        });
        ready.receive();
        made.send(child);
        stopped.receive();
        0
    });
    let child = made.receive();
    sys::kill(child, libc::SIGSTOP);
    proc::until_state(child, 'T');
    pause("stopped");
    stopped.send(1);
    wait("scenario", "parent", parent);
    ends(child);
}

fn timeout() {
    const COMMAND: [&str; 6] = ["-k", "0.3", "1", "sh", "-c", "trap '' TERM; exec sleep 1000"];
    if !["/usr/bin/timeout", "/bin/timeout"].iter().any(|path| Path::new(path).exists()) {
        skip("timeout(1)", libc::ENOENT);
    }
    let timeout = spawn("sender", || {
        let error = std::process::Command::new("timeout").args(COMMAND).exec();
        die_with("execve of timeout(1)", error.raw_os_error().unwrap_or(libc::ENOENT));
    });
    proc::until("the child of timeout(1)", || !children_of(timeout).is_empty());
    let child = child_of(timeout);
    announce("child", child, child);
    wait("scenario", "sender", timeout);
}

fn killed_child() {
    let made = Channel::new();
    sys::be_subreaper();
    let parent = spawn("parent", move || {
        let child = sleeper();
        made.send(child);
        wait("parent", "child", child);
        137
    });
    let child = made.receive();
    sys::kill(child, libc::SIGKILL);
    wait("scenario", "parent", parent);
}

fn asked() {
    extern "C" fn leave(_: i32) {
        sys::exit_group(143);
    }
    let ready = Channel::new();
    let child = spawn("child", move || {
        // SAFETY: the handler only ends the process.
        unsafe { libc::signal(libc::SIGTERM, leave as *const () as libc::sighandler_t) };
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::kill(child, libc::SIGTERM);
    ends(child);
}

/// Measures how long this many signals take, for the cost of an ignored signal and as a storm.
pub(crate) fn signals(args: &[String]) {
    let (count, signal) = (crate::number(args, 0, 1000), crate::number(args, 1, libc::SIGUSR1));
    let ready = Channel::new();
    let child = spawn("child", move || {
        sys::ignore(signal);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    let begun = sys::now_ns();
    for _ in 0..count {
        sys::kill(child, signal);
    }
    let spent = sys::now_ns() - begun;
    Fact::new("signals").number("count", count).number("each_ns", spent / i64::from(count.max(1))).emit();
    sys::kill(child, libc::SIGKILL);
    ends(child);
}
