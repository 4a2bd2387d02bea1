//! Processes that end by a signal whose sender, or whose reason, is easily mistaken for another.

use std::{
    ffi::CString,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use super::deaths::{bound_to_its_parent, ends, open_terminal, sleeper, take_terminal};
use crate::{
    Entry,
    actor::{join, spawn, thread, wait},
    cgroups::{Cgroup, enter, hierarchy},
    fact::{Fact, die, die_with, skip},
    sys::{self, Channel},
};

/// Makes a request of ptrace(2) that takes a signal.
macro_rules! request {
    ($request:ident, $child:expr, $signal:expr) => {{
        let (no_address, signal) = (ptr::null_mut::<libc::c_void>(), $signal as usize);
        // SAFETY: the request takes no address, and the signal by value.
        if unsafe { libc::ptrace(libc::$request, $child, no_address, signal) } != 0 {
            die("ptrace");
        }
    }};
}

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "death-again",
        "a child handles SIGTERM of two senders, and a second SIGTERM of the first one ends it",
        |_| {
            again();
        },
    ),
    ("death-by-thread", "a thread with a name of its own sends SIGTERM to a child", |_| by_thread()),
    ("death-siblings", "two children of a supervisor send SIGTERM, which is ignored, and SIGKILL", |_| {
        siblings();
    }),
    ("death-parent-thread", "the thread that created a child ends, and its process lives on", |_| {
        parent_thread();
    }),
    ("death-own-cgroup", "a child writes to cgroup.kill of its own cgroup", |_| own_cgroup()),
    ("death-exec", "an execve(2) fails after its point of no return", |_| failed_exec()),
    ("death-tracer-kill", "a tracer calls ptrace(PTRACE_KILL)", |_| {
        traced(|child| request!(PTRACE_KILL, child, 0));
    }),
    ("death-tracer-seize", "a tracer that attached by PTRACE_SEIZE calls ptrace(PTRACE_KILL)", |_| {
        let child = sleeper();
        let tracer = spawn("sender", || {
            request!(PTRACE_SEIZE, child, 0);
            request!(PTRACE_KILL, child, 0);
            wait("sender", "child", child);
            0
        });
        wait("scenario", "sender", tracer);
        ends(child);
    }),
    ("death-typed", "a process with a terminal and a login uid sends SIGTERM to a child", |_| typed()),
    ("death-injected", "a tracer continues a child at a system call with SIGTERM", |_| {
        traced(|child| {
            // This discards the SIGSTOP of the attachment; the interrupted call stops the child when it is restarted.
            request!(PTRACE_SYSCALL, child, 0);
            await_stop(child);
            request!(PTRACE_CONT, child, libc::SIGTERM);
            // The signal counts as sent by the child itself. The child stops once more before the signal is delivered.
            await_stop(child);
            request!(PTRACE_CONT, child, libc::SIGTERM);
        });
    }),
];

fn again() {
    static HANDLED: AtomicI32 = AtomicI32::new(0);
    extern "C" fn handle(signal: i32) {
        if HANDLED.fetch_add(1, Ordering::SeqCst) == 1 {
            sys::reset(signal);
        }
    }
    let handled = Channel::new();
    let child = spawn("child", move || {
        // SAFETY: the handler calls async-signal-safe functions only.
        unsafe { libc::signal(libc::SIGTERM, handle as *const () as libc::sighandler_t) };
        for count in 0..3 {
            while HANDLED.load(Ordering::SeqCst) < count {
                sys::breathe();
            }
            handled.send(count);
        }
        sys::sleep_for_ever()
    });
    handled.receive();
    sys::kill(child, libc::SIGTERM);
    handled.receive();
    let other = spawn("other", || {
        sys::kill(child, libc::SIGTERM);
        0
    });
    wait("scenario", "other", other);
    handled.receive();
    sys::kill(child, libc::SIGTERM);
    ends(child);
}

fn by_thread() {
    let child = sleeper();
    join(thread("thread", move || {
        sys::set_comm(b"named-thread");
        sys::kill(child, libc::SIGTERM);
    }));
    ends(child);
}

/// Two processes of the same parent send signals, as if a container engine started its runtime for each signal.
fn siblings() {
    let ready = Channel::new();
    let child = spawn("child", || {
        sys::ignore(libc::SIGTERM);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    let supervisor = spawn("supervisor", || {
        for (role, signal) in [("first", libc::SIGTERM), ("second", libc::SIGKILL)] {
            let sender = spawn(role, || {
                sys::kill(child, signal);
                0
            });
            wait("supervisor", role, sender);
        }
        0
    });
    ends(child);
    wait("scenario", "supervisor", supervisor);
}

fn parent_thread() {
    let made = Channel::new();
    let creator = thread("creator", move || {
        made.send(bound_to_its_parent());
    });
    let child = made.receive();
    join(creator);
    ends(child);
}

fn own_cgroup() {
    let Some(root) = hierarchy("cgroup2") else { skip("a cgroup2 mount", libc::ENOENT) };
    let cgroup = Cgroup::new(&root);
    if !cgroup.0.join("cgroup.kill").exists() {
        drop(cgroup);
        skip("cgroup.kill", libc::ENOENT);
    }
    let child = spawn("child", || {
        enter(&cgroup.0);
        let _ = fs::write(cgroup.0.join("cgroup.kill"), "1");
        1
    });
    ends(child);
}

/// Executes a file whose only segment is larger than any address space: the kernel notices that only after the point of no return.
fn failed_exec() {
    const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    const ADDRESS: u64 = 0x40_0000;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2, MACHINE] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [ADDRESS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for word in [0_u64, ADDRESS, ADDRESS, 120, 1 << 60, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    let path = std::env::temp_dir().join(format!("taskscope-exec-{}", sys::getpid()));
    let made =
        fs::write(&path, file).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o700)));
    if let Err(error) = made {
        die_with("writing an executable", error.raw_os_error().unwrap_or(0));
    }
    let program = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let child = spawn("child", || {
        let args = [program.as_ptr(), ptr::null()];
        // SAFETY: the path and the list end with NUL and NULL, and outlive the call.
        unsafe { libc::execv(program.as_ptr(), args.as_ptr()) };
        die("execve of a file that the kernel must not refuse earlier");
    });
    ends(child);
    let _ = fs::remove_file(path);
}

/// The sender leads a session with a controlling terminal, as a shell does, and sets its login uid, if it may, as `pam_loginuid(8)` does.
fn typed() {
    let (_, slave) = open_terminal();
    let child = sleeper();
    let sender = spawn("sender", || {
        take_terminal(slave);
        let _ = fs::write("/proc/self/loginuid", "1000");
        let login = fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
        let login = login.trim().parse::<u32>().map_or(-1, i64::from);
        let terminal = fs::read_link(format!("/proc/self/fd/{slave}")).unwrap_or_default();
        let terminal = terminal.strip_prefix("/dev").unwrap_or(&terminal).to_string_lossy().into_owned();
        Fact::new("typed")
            .text("terminal", terminal.trim_start_matches('/'))
            .number("login_uid", login)
            .emit();
        sys::kill(child, libc::SIGTERM);
        0
    });
    wait("scenario", "sender", sender);
    ends(child);
}

/// Runs `act` in a tracer, the sender, that has stopped a child.
fn traced(act: impl FnOnce(sys::Pid)) {
    let child = sleeper();
    let tracer = spawn("sender", || {
        request!(PTRACE_ATTACH, child, 0);
        await_stop(child);
        act(child);
        wait("sender", "child", child);
        0
    });
    wait("scenario", "sender", tracer);
    ends(child);
}

fn await_stop(child: sys::Pid) {
    match sys::wait4(child, libc::__WALL) {
        Ok((_, status)) if libc::WIFSTOPPED(status) => {}
        Ok((_, status)) => die_with("waiting for a stop", status),
        Err(errno) => die_with("wait4 of a tracee", errno),
    }
}
