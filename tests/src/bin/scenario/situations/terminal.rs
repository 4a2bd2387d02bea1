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
    ("suspended", "a parent reads from its terminal when the suspend key is pressed, then waits", |_| {
        background(Access::Suspend);
    }),
];

/// The use of the terminal that stops the parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Set,
    Stop,
    /// It reads in the foreground, and the suspend key is pressed.
    Suspend,
}

/// The suspend character of a new terminal (`VSUSP`): Ctrl-Z.
const SUSPEND: u8 = 0x1a;

/// Messages to the shell.
const CONTINUE: i32 = 1;
const FOREGROUND: i32 = 2;
const NO_TOSTOP: i32 = 3;

fn pty() -> (i32, i32) {
    let (mut master, mut slave) = (0, 0);
    let none = ptr::null_mut();
    // SAFETY: the pointers are to two variables; name, settings and size may be null.
    if unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) } != 0 {
        skip("openpty", sys::errno());
    }
    (master, slave)
}

/// Reads the settings of a terminal, and sets them again with `TOSTOP` on or off.
fn set(terminal: i32, tostop: bool) {
    // SAFETY: termios is plain data for which zeroes are valid.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the settings outlive both calls.
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
        Access::Read | Access::Suspend => {
            sys::read(terminal, &mut [0; 8]);
        }
        Access::Write => sys::write_all(terminal, b"x"),
        Access::Set => set(terminal, false),
        Access::Stop => sys::kill(sys::getpid(), libc::SIGSTOP),
    }
}

/// Acts as a shell does with a job: reports each stop, carries out messages, and ends with the job.
fn job_control(terminal: i32, job: Pid, stops: Channel, orders: Channel) {
    // A shell sets its terminal while a job has the foreground.
    sys::ignore(libc::SIGTTOU);
    while let Ok((_, status)) = sys::wait4(job, libc::WUNTRACED) {
        if !libc::WIFSTOPPED(status) {
            break;
        }
        // SAFETY: the calls take integers only. A shell takes its terminal back.
        unsafe { libc::tcsetpgrp(terminal, libc::getpgrp()) };
        stops.send(libc::WSTOPSIG(status));
        match orders.receive() {
            // SAFETY: the call takes integers only.
            FOREGROUND if unsafe { libc::tcsetpgrp(terminal, job) } != 0 => die("tcsetpgrp"),
            NO_TOSTOP => set(terminal, false),
            _ => {}
        }
        sys::kill(job, libc::SIGCONT);
    }
    // Signal 0 means that the job has ended.
    stops.send(0);
}

fn background(access: Access) {
    let (master, slave) = pty();
    let [parents, children, stops, orders] = [(); 4].map(|()| Channel::new());
    let shell = spawn("shell", || {
        // SAFETY: the calls take integers only, and the descriptors are open.
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
            if access == Access::Suspend {
                sys::ignore(libc::SIGTTOU);
                // SAFETY: the calls take integers only.
                if unsafe { libc::tcsetpgrp(slave, libc::getpgrp()) } != 0 {
                    die("tcsetpgrp");
                }
                sys::reset(libc::SIGTTOU);
            }
            children.send(child);
            use_terminal(slave, access);
            wait("parent", "child", child);
            0
        });
        parents.send(parent);
        job_control(slave, parent, stops, orders);
        0
    });
    // SAFETY: the descriptor is open and not used after this.
    unsafe { libc::close(slave) };
    let (parent, child) = (parents.receive(), children.receive());
    if access == Access::Suspend {
        proc::until_asleep(parent, parent);
        sys::write_all(master, &[SUSPEND]);
    }
    Fact::new("stopped").number("signal", stops.receive()).emit();
    proc::until_state(parent, 'T');
    pause("stopped");
    // kill -CONT helps only a process that does not use the terminal.
    orders.send(CONTINUE);
    let again = stops.receive();
    Fact::new("continued").number("stopped_by", again).emit();
    if again != 0 {
        orders.send(if access == Access::Write { NO_TOSTOP } else { FOREGROUND });
        if matches!(access, Access::Read | Access::Suspend) {
            sys::write_all(master, b"\n");
        }
        proc::until_gone(child, child);
        Fact::new("freed").number("stopped_by", stops.receive()).emit();
    }
    wait("scenario", "shell", shell);
}
