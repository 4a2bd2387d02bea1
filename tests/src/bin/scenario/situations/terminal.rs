//! Processes that use their controlling terminal while they are in its background, and are stopped for that.

use std::ptr;

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die, pause, skip},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("background-reads", "a parent reads from its terminal in the background, then waits", |_| {
        background(Access::Read);
    }),
    ("background-writes", "a parent writes to its terminal in the background (tostop), then waits", |_| {
        background(Access::Write);
    }),
    ("background-sets", "a parent sets its terminal in the background, then waits", |_| {
        background(Access::Set);
    }),
    ("background-sleeps", "a parent in the background of its terminal stops itself, then waits", |_| {
        background(Access::Stop);
    }),
];

/// What the parent does that stops it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Set,
    Stop,
}

/// What the shell is asked to do.
const CONTINUE: i32 = 1;
const FOREGROUND: i32 = 2;
const NO_TOSTOP: i32 = 3;

fn pty() -> (i32, i32) {
    let (mut master, mut slave) = (0, 0);
    let none = ptr::null_mut();
    // SAFETY: both descriptors are written to variables that are there; no name, settings and size are passed.
    if unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) } != 0 {
        skip("openpty", sys::errno());
    }
    (master, slave)
}

/// Reads the settings of a terminal, and sets them again with `TOSTOP` on or off.
fn set(terminal: i32, tostop: bool) {
    // SAFETY: all zeroes are settings.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the settings outlive both calls.
    unsafe {
        if libc::tcgetattr(terminal, &raw mut settings) != 0 {
            die("tcgetattr");
        }
        settings.c_lflag = settings.c_lflag & !libc::TOSTOP | if tostop { libc::TOSTOP } else { 0 };
        if libc::tcsetattr(terminal, libc::TCSANOW, &raw const settings) != 0 {
            die("tcsetattr");
        }
    }
}

fn use_terminal(terminal: i32, access: Access) {
    match access {
        Access::Read => {
            sys::read(terminal, &mut [0; 8]);
        }
        Access::Write => sys::write_all(terminal, b"x"),
        Access::Set => set(terminal, false),
        Access::Stop => sys::kill(sys::getpid(), libc::SIGSTOP),
    }
}

/// As a shell does with a job: tells each stop, does what it is asked to, and ends with the job.
fn job_control(terminal: i32, job: Pid, stops: Channel, orders: Channel) {
    while let Ok((_, status)) = sys::wait4(job, libc::WUNTRACED) {
        if !libc::WIFSTOPPED(status) {
            break;
        }
        stops.send(libc::WSTOPSIG(status));
        match orders.receive() {
            // SAFETY: integers only.
            FOREGROUND if unsafe { libc::tcsetpgrp(terminal, job) } != 0 => die("tcsetpgrp"),
            NO_TOSTOP => set(terminal, false),
            _ => {}
        }
        sys::kill(job, libc::SIGCONT);
    }
    // A signal of none: it has ended.
    stops.send(0);
}

fn background(access: Access) {
    let (master, slave) = pty();
    let [parents, children, stops, orders] = [(); 4].map(|()| Channel::new());
    let shell = spawn("shell", || {
        // SAFETY: no pointer is passed; the descriptors are open.
        unsafe {
            libc::close(master);
            if libc::setsid() < 0 || libc::ioctl(slave, libc::TIOCSCTTY, 0) != 0 {
                die("taking a controlling terminal");
            }
        }
        set(slave, access == Access::Write);
        let parent = spawn("parent", || {
            sys::lead_a_group();
            let child = spawn("child", || 0);
            proc::until_state(child, 'Z');
            children.send(child);
            use_terminal(slave, access);
            wait("parent", "child", child);
            0
        });
        parents.send(parent);
        job_control(slave, parent, stops, orders);
        0
    });
    // SAFETY: it is open, and used no more here.
    unsafe { libc::close(slave) };
    let (parent, child) = (parents.receive(), children.receive());
    Fact::new("stopped").number("signal", stops.receive()).emit();
    proc::until_state(parent, 'T');
    pause("stopped");
    // What verdicts say of this remedy: it helps who does not use the terminal.
    orders.send(CONTINUE);
    let again = stops.receive();
    Fact::new("continued").number("stopped_by", again).emit();
    if again != 0 {
        orders.send(if access == Access::Write { NO_TOSTOP } else { FOREGROUND });
        if access == Access::Read {
            sys::write_all(master, b"\n");
        }
        proc::until_gone(child, child);
        Fact::new("freed").number("stopped_by", stops.receive()).emit();
    }
    wait("scenario", "shell", shell);
}
