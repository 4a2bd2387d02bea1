//! Parents that will reap their zombie later: another process or their own handler holds them in a system call, or they poll for
//! dead children.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _},
};

use crate::{
    Entry,
    actor::{spawn, thread, wait},
    fact::{die, pause},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("writes-to-full-pipe", "a parent writes to a pipe that a process does not read, then waits", |_| {
        writes_to_full_pipe();
    }),
    ("waits-for-lock", "a parent waits for a flock(2) that a process holds, then waits", |_| {
        waits_for_lock();
    }),
    ("reads-input", "a parent reads a pipe that an older process has open, then waits", |_| reads_input()),
    ("handler-deadlock", "a SIGCHLD handler takes a lock that the interrupted code holds", |_| {
        handler_deadlock();
    }),
    ("waits-late", "a parent waits for its dead child only after `go`", |_| waits_late()),
    ("waits-per-thread", "a thread waits for one child, another thread takes the zombie later", |_| {
        waits_per_thread();
    }),
];

fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        die("pipe2");
    }
    // SAFETY: the call has just created both descriptors, and nothing else owns them.
    unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) }
}

fn dead_child() -> Pid {
    let child = spawn("child", || 0);
    proc::until_state(child, 'Z');
    child
}

/// Announces the parent once it is in its system call, applies the remedy by `free`, and ends when the zombie is reaped.
fn shown(parent: Pid, child: Pid, holder: Option<Pid>, free: impl FnOnce()) {
    proc::until_asleep(parent, parent);
    pause("owed");
    free();
    proc::until_gone(child, child);
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
    if let Some(holder) = holder {
        sys::kill(holder, libc::SIGKILL);
        wait("scenario", "holder", holder);
    }
}

fn writes_to_full_pipe() {
    let made = Channel::new();
    let (reader, mut writer) = pipe();
    let go = Channel::new();
    let holder = {
        let mut reader = reader;
        let holder = spawn("holder", || {
            go.receive();
            let mut read = [0; 4096];
            while reader.read(&mut read).is_ok_and(|count| count > 0) {}
            sys::sleep_for_ever()
        });
        drop(reader);
        holder
    };
    let parent = spawn("parent", || {
        let child = dead_child();
        made.send(child);
        // These are more bytes than a pipe holds.
        let _ = writer.write_all(&vec![b'x'; 1 << 21]);
        wait("parent", "child", child);
        sys::sleep_for_ever()
    });
    drop(writer);
    shown(parent, made.receive(), Some(holder), || go.send(0));
}

fn waits_for_lock() {
    let (made, held) = (Channel::new(), Channel::new());
    let path = std::env::temp_dir().join(format!("taskscope-lock-{}", sys::getpid()));
    let open = || File::create(&path).unwrap_or_else(|_| die("creating a file to lock"));
    let lock = |file: &File| {
        // SAFETY: the call takes integers only.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            die("flock");
        }
    };
    let holder = spawn("holder", || {
        let file = open();
        lock(&file);
        held.send(0);
        sys::sleep_for_ever()
    });
    held.receive();
    let parent = spawn("parent", || {
        let child = dead_child();
        made.send(child);
        lock(&open());
        wait("parent", "child", child);
        sys::sleep_for_ever()
    });
    shown(parent, made.receive(), None, || {
        sys::kill(holder, libc::SIGKILL);
        wait("scenario", "holder", holder);
    });
    let _ = std::fs::remove_file(&path);
}

fn reads_input() {
    let made = Channel::new();
    let (mut input, output) = pipe();
    let parent = spawn("parent", || {
        let child = dead_child();
        made.send(child);
        let _ = input.read(&mut [0]);
        wait("parent", "child", child);
        sys::sleep_for_ever()
    });
    // The scenario itself has the writing end open: it is older than its child.
    shown(parent, made.receive(), None, move || {
        let mut output = output;
        let _ = output.write_all(b"x");
    });
}

/// A lock of futex(2) that its holder tries to take again.
static LOCK: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);

extern "C" fn take_lock(_: libc::c_int) {
    while LOCK.load(std::sync::atomic::Ordering::SeqCst) == 1 {
        // SAFETY: the word outlives the call; no timeout.
        unsafe {
            libc::syscall(libc::SYS_futex, LOCK.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 1, 0)
        };
    }
}

fn handler_deadlock() {
    let made = Channel::new();
    let parent = spawn("parent", || {
        sys::block(libc::SIGCHLD);
        // SAFETY: the handler calls futex(2) only.
        sys::on_sigchld(take_lock as *const () as libc::sighandler_t, 0);
        made.send(dead_child());
        sys::unblock(libc::SIGCHLD);
        sys::sleep_for_ever()
    });
    made.receive();
    let is_in_futex = || {
        let call = std::fs::read_to_string(format!("/proc/{parent}/syscall"));
        call.is_ok_and(|call| call.starts_with(&format!("{} ", libc::SYS_futex)))
    };
    proc::until("waiting for the handler to wait for the lock", is_in_futex);
    pause("owed");
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
}

fn waits_late() {
    let (made, go) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        let child = dead_child();
        made.send(child);
        // A poll with a timeout would have the same effect, but the test could not control its end.
        go.receive();
        wait("parent", "child", child);
        sys::sleep_for_ever()
    });
    shown(parent, made.receive(), None, || go.send(0));
}

fn waits_per_thread() {
    let (made, go) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        let other = spawn("other", || sys::sleep_for_ever());
        let waiter = thread("waiter", move || {
            wait("parent", "other", other);
        });
        let child = dead_child();
        made.send(child);
        go.receive();
        wait("parent", "child", child);
        sys::kill(other, libc::SIGKILL);
        let _ = waiter.join();
        sys::sleep_for_ever()
    });
    shown(parent, made.receive(), None, || go.send(0));
}
