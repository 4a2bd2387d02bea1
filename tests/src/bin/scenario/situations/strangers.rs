//! Parents with a zombie, from public threads: a system call, a limit on CPU time, or a stop signal keeps them from waiting.

use std::{
    ffi::CString,
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::OpenOptionsExt as _,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{die, die_with, pause, skip},
    proc,
    sys::{self, Channel, Pid},
    uring,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("accepts-first", "a server reaps after its next connection", |_| accepts_first()),
    ("sends-first", "a parent sends to a socket whose owner does not read, then waits", |_| sends_first()),
    ("opens-fifo", "a parent whose handler sets a flag opens a FIFO, then waits", |_| opens_fifo()),
    ("flag-handler", "a handler sets a flag right before a poll(2) without a timeout", |_| flag_handler()),
    ("masked-receive", "a parent blocks SIGCHLD during a receive", |_| masked_receive()),
    ("ring-waits", "a parent waits for a completion of io_uring", |_| ring_waits()),
    ("nocldwait-later", "a parent sets SA_NOCLDWAIT after its child has become a zombie", |_| {
        nocldwait_later();
    }),
    ("stopped-in-turn", "a parent is stopped and continued ten times a second", |_| stopped_in_turn()),
    ("tracer-stopped", "the tracer that has stopped a parent is stopped itself", |_| tracer_stopped()),
    ("throttled", "a parent moves to the cgroup of FILE, whose limit LIMIT the word LIFT removes", throttled),
];

fn dead_child() -> Pid {
    let child = spawn("child", || 0);
    proc::until_state(child, 'Z');
    child
}

/// Forks a parent that makes a zombie, makes the call that keeps it from waiting, and then waits.
fn parent(made: Channel, before: impl FnOnce(), then: impl FnOnce()) -> Pid {
    spawn("parent", || {
        before();
        let child = dead_child();
        made.send(child);
        then();
        wait("parent", "child", child);
        sys::sleep_for_ever()
    })
}

/// Pauses, applies the remedy of the verdict, and ends when the zombie is reaped.
fn shown(parent: Pid, child: Pid, free: impl FnOnce()) {
    pause("owed");
    free();
    proc::until_gone(child, child);
    end("parent", parent);
}

fn end(role: &str, pid: Pid) {
    sys::kill(pid, libc::SIGKILL);
    wait("scenario", role, pid);
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("taskscope-{name}-{}", sys::getpid()))
}

fn ok<T>(what: &str, result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| die_with(what, error.raw_os_error().unwrap_or(0)))
}

/// Forks a parent that waits for its zombie after a message on the channel.
fn parent_until_message() -> (Pid, Pid, Channel) {
    let (made, go) = (Channel::new(), Channel::new());
    let until_message = || {
        go.receive();
    };
    let parent = parent(made, || (), until_message);
    (parent, made.receive(), go)
}

fn accepts_first() {
    let (made, path) = (Channel::new(), scratch("accept"));
    let listener = ok("bind", UnixListener::bind(&path));
    let parent = parent(made, || (), || drop(listener.accept()));
    let child = made.receive();
    proc::until_asleep(parent, parent);
    shown(parent, child, || drop(ok("connect", UnixStream::connect(&path))));
    let _ = fs::remove_file(path);
}

fn sends_first() {
    /// More messages than the queue of a socket can hold (`max_dgram_qlen`).
    const MESSAGES: usize = 2000;
    let (made, path) = (Channel::new(), scratch("send"));
    let receiver = ok("bind", UnixDatagram::bind(&path));
    let parent = parent(
        made,
        || (),
        || {
            let sender = ok("socket", UnixDatagram::unbound());
            ok("connect", sender.connect(&path));
            for _ in 0..MESSAGES {
                ok("send", sender.send(b"<86>a line of a log"));
            }
        },
    );
    let child = made.receive();
    proc::until_asleep(parent, parent);
    shown(parent, child, || {
        ok("setting a socket", receiver.set_nonblocking(true));
        proc::until("receiving all messages", || {
            while receiver.recv(&mut [0; 64]).is_ok() {}
            proc::Stat::read(child, child).is_none()
        });
    });
    let _ = fs::remove_file(path);
}

/// Set by the handler.
static CHILD_DIED: AtomicBool = AtomicBool::new(false);

extern "C" fn set_flag(_: libc::c_int) {
    CHILD_DIED.store(true, Ordering::SeqCst);
}

extern "C" fn reap_all(_: libc::c_int) {
    while matches!(sys::wait4(-1, libc::WNOHANG), Ok((pid, _)) if pid > 0) {}
}

fn handle(by: extern "C" fn(libc::c_int)) {
    sys::on_sigchld(by as *const () as libc::sighandler_t, libc::SA_RESTART);
}

fn opens_fifo() {
    let (made, path) = (Channel::new(), scratch("fifo"));
    let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: the string ends with NUL and outlives the call.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
        die("mkfifo");
    }
    let open = || drop(OpenOptions::new().write(true).open(&path));
    let parent = parent(made, || handle(set_flag), open);
    let child = made.receive();
    proc::until_asleep(parent, parent);
    shown(parent, child, || {
        // If the parent has ended, opening does not block.
        let mut options = OpenOptions::new();
        let reader = ok("open", options.read(true).custom_flags(libc::O_NONBLOCK).open(&path));
        proc::until_gone(child, child);
        drop(reader);
    });
    let _ = fs::remove_file(path);
}

/// Waits for events without a timeout; ends the process when the reader of the facts is gone.
fn poll_for_ever() {
    let mut fds = [libc::pollfd { fd: 1, events: 0, revents: 0 }];
    // SAFETY: the length is that of the array.
    if unsafe { libc::poll(fds.as_mut_ptr(), 1, -1) } > 0 {
        sys::exit_group(72);
    }
}

/// The system call that poll(3) makes.
#[cfg(target_arch = "x86_64")]
const POLL: libc::c_long = libc::SYS_poll;
#[cfg(not(target_arch = "x86_64"))]
const POLL: libc::c_long = libc::SYS_ppoll;

fn flag_handler() {
    let made = Channel::new();
    let before = || {
        handle(set_flag);
        sys::block(libc::SIGCHLD);
    };
    let parent = parent(made, before, || {
        // The handler runs here. The parent does not check the flag before the poll.
        sys::unblock(libc::SIGCHLD);
        loop {
            poll_for_ever();
            if CHILD_DIED.swap(false, Ordering::SeqCst) {
                return;
            }
        }
    });
    let child = made.receive();
    let is_polling = || {
        let call = fs::read_to_string(format!("/proc/{parent}/syscall")).unwrap_or_default();
        call.starts_with(&format!("{POLL} ")) && proc::has_left_its_cpu(parent, parent)
    };
    proc::until("waiting for the parent to poll", is_polling);
    shown(parent, child, || sys::kill(parent, libc::SIGCHLD));
}

fn masked_receive() {
    let made = Channel::new();
    let (receiver, mut sender) = ok("socketpair", UnixStream::pair());
    let before = || {
        handle(reap_all);
        sys::block(libc::SIGCHLD);
    };
    let parent = spawn("parent", || {
        before();
        made.send(dead_child());
        let mut byte = 0_u8;
        // SAFETY: the buffer has room for one byte.
        unsafe { libc::recv(receiver.as_raw_fd(), (&raw mut byte).cast(), 1, 0) };
        sys::unblock(libc::SIGCHLD);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    proc::until_asleep(parent, parent);
    shown(parent, child, || ok("write", sender.write_all(b"x")));
}

fn ring_waits() {
    let (made, failed) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        let ring = match uring::set_up() {
            Ok(ring) => ring,
            Err(errno) => {
                failed.send(errno);
                return 0;
            }
        };
        failed.send(0);
        made.send(dead_child());
        uring::await_completion(ring);
        sys::sleep_for_ever()
    });
    match failed.receive() {
        0 => {}
        errno => {
            wait("scenario", "parent", parent);
            skip("io_uring_setup", errno)
        }
    }
    made.receive();
    proc::until_asleep(parent, parent);
    pause("owed");
    end("parent", parent);
}

fn nocldwait_later() {
    let (made, go) = (Channel::new(), Channel::new());
    let parent = parent(
        made,
        || (),
        || {
            sys::on_sigchld(
                set_flag as *const () as libc::sighandler_t,
                libc::SA_NOCLDWAIT | libc::SA_RESTART,
            );
            for _ in 0..3 {
                match sys::fork() {
                    None => sys::exit_group(0),
                    Some(later) => proc::until_gone(later, later),
                }
            }
            go.receive();
        },
    );
    let child = made.receive();
    proc::until("waiting for SA_NOCLDWAIT to have released children", || {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let alone = children.is_ok_and(|text| text.split_whitespace().count() == 1);
        let caught = fs::read_to_string(format!("/proc/{parent}/status")).unwrap_or_default();
        let caught =
            caught.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:\t")?, 16).ok());
        alone && caught.is_some_and(|set| set >> (libc::SIGCHLD - 1) & 1 != 0)
    });
    proc::until_asleep(parent, parent);
    shown(parent, child, || go.send(0));
}

fn stopped_in_turn() {
    let (parent, child, go) = parent_until_message();
    let limiter = spawn("limiter", || {
        loop {
            sys::kill(parent, libc::SIGSTOP);
            let mut fds = [libc::pollfd { fd: 1, events: 0, revents: 0 }];
            // SAFETY: the length is that of the array.
            if unsafe { libc::poll(fds.as_mut_ptr(), 1, 90) } > 0 {
                sys::exit_group(72);
            }
            sys::kill(parent, libc::SIGCONT);
            sys::breathe();
        }
    });
    proc::until_state(parent, 'T');
    shown(parent, child, || {
        end("limiter", limiter);
        sys::kill(parent, libc::SIGCONT);
        go.send(0);
    });
}

fn ptrace(request: libc::c_uint, pid: Pid) {
    // SAFETY: these requests take no pointers.
    if unsafe { libc::ptrace(request, pid, 0, 0) } != 0 {
        die("ptrace");
    }
}

fn tracer_stopped() {
    let (parent, child, go) = parent_until_message();
    let tracer = spawn("tracer", || {
        ptrace(libc::PTRACE_SEIZE, parent);
        ptrace(libc::PTRACE_INTERRUPT, parent);
        proc::until_state(parent, 't');
        sys::kill(sys::getpid(), libc::SIGSTOP);
        sys::sleep_for_ever()
    });
    proc::until_state(tracer, 'T');
    shown(parent, child, || {
        end("tracer", tracer);
        go.send(0);
    });
}

fn throttled(args: &[String]) {
    /// CPU time, ns: the parent needs minutes for it with the limit, and a short time without.
    const WORK_NS: i64 = 200_000_000;
    let [procs, limit, lift] = args else { die("FILE, LIMIT and LIFT as arguments") };
    let made = Channel::new();
    let parent = parent(
        made,
        || (),
        || {
            if let Err(error) = fs::write(procs, "0") {
                skip("moving to a cgroup", error.raw_os_error().unwrap_or(0));
            }
            while cpu_time_ns() < WORK_NS {}
        },
    );
    let child = made.receive();
    let of_cgroup = PathBuf::from(procs).with_file_name("cpu.stat");
    proc::until("waiting for the limit on CPU time to be reached", || {
        let mut text = String::new();
        let read = fs::File::open(&of_cgroup).and_then(|mut file| file.read_to_string(&mut text));
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
        read.is_ok() && count.is_some_and(|count| count > 0)
    });
    shown(parent, child, || ok("lifting the limit", fs::write(limit, lift)));
}

fn cpu_time_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `time`, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
