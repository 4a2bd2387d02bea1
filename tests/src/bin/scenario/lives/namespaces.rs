//! Pid namespaces: pid 1 in them, orphans in them, an init whose death ends all processes or hangs.

use crate::{
    Entry,
    actor::{announce, spawn, spawn_with, wait},
    fact::{die, pause},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("pid-namespace", "an orphan inside goes to the namespace's init, whose death kills it", pid_namespace),
    ("nested-namespaces", "a process two pid namespaces deep", nested_namespaces),
    (
        "stuck-exit",
        "a namespace's init cannot finish its exit while a foreign child of it is a zombie",
        stuck_exit,
    ),
];

fn pid_namespace(_: &[String]) {
    let up = Channel::new();
    let go_ahead = Channel::new();
    let init = spawn_with("init", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        let middle = inside("middle", || {
            let orphan = inside("orphan", || sys::sleep_for_ever());
            up.send(orphan);
            0
        });
        let _ = middle;
        // Inside of the namespace, the pids of the children differ from those in /proc, so this waits for any child.
        let answer = sys::wait4(-1, 0);
        up.send(i32::from(answer.is_ok()));
        go_ahead.receive();
        22
    });
    let orphan = up.receive();
    up.receive();
    proc::at("inside", "init", init);
    proc::at("orphaned", "orphan", orphan);
    pause("inside");
    go_ahead.send(0);
    wait("scenario", "init", init);
    proc::at("after", "orphan", orphan);
}

fn nested_namespaces(_: &[String]) {
    let go_ahead = Channel::new();
    let up = Channel::new();
    let outer = spawn_with("outer-init", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        let pids = Channel::new();
        match sys::clone(libc::CLONE_NEWPID, libc::SIGCHLD) {
            Ok(None) => {
                let pid = proc::outer_pid();
                announce("inner-init", pid, pid);
                pids.send(pid);
                go_ahead.receive();
                sys::exit_group(23)
            }
            Ok(Some(_)) => {}
            Err(_) => die("clone with CLONE_NEWPID inside a pid namespace"),
        }
        pids.receive();
        up.send(0);
        // Its pid here is 2; the wait takes any child.
        i32::from(sys::wait4(-1, 0).is_err())
    });
    up.receive();
    pause("inside");
    go_ahead.send(0);
    wait("scenario", "outer-init", outer);
}

fn stuck_exit(_: &[String]) {
    let go_ahead = Channel::new();
    let init = spawn_with("init", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        go_ahead.receive();
        24
    });
    enter(init);
    // This child lives in the namespace, but its parent is outside and does not wait.
    let guest = spawn("guest", || sys::sleep_for_ever());
    go_ahead.send(0);
    proc::until_state(guest, 'Z');
    proc::at("stuck", "init", init);
    proc::at("stuck", "guest", guest);
    pause("stuck");
    wait("scenario", "guest", guest);
    wait("scenario", "init", init);
}

/// Forks inside a pid namespace and returns the outer pid.
fn inside(role: &str, act: impl FnOnce() -> i32) -> Pid {
    let reported = Channel::new();
    if sys::fork().is_none() {
        let pid = proc::outer_pid();
        announce(role, pid, pid);
        reported.send(pid);
        sys::exit_group(act());
    }
    reported.receive()
}

/// Makes later children of this process live in the pid namespace of `pid`.
fn enter(pid: Pid) {
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/ns/pid")) else { die("opening a pid namespace") };
    // SAFETY: an open descriptor and an integer.
    if unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&file), libc::CLONE_NEWPID) } != 0 {
        die("setns");
    }
}
