//! The daemon's surroundings: a time namespace, a /proc that hides processes. Both are reported, and neither makes an answer
//! wrong.

use std::{ffi::CStr, io, os::unix::process::CommandExt as _, process::Command};

use serde_json::Value;
use taskscope_tests::{
    faults::{Daemon, truth},
    setting,
};

use crate::common::scenario;

/// How far the namespace's boot time is ahead of the kernel's, as a line of `/proc/self/timens_offsets`.
const OFFSET: &[u8] = b"boottime 100000 7\n";
/// Far less than the offset, and longer than any age in this test.
const HOUR_NS: u64 = 3_600_000_000_000;

/// `CLONE_NEWTIME`, which libc has no constant for everywhere: <https://man7.org/linux/man-pages/man7/time_namespaces.7.html>.
const CLONE_NEWTIME: i32 = 0x80;

/// Opens a file, and returns its descriptor or an error.
fn open(path: &CStr, flags: i32) -> io::Result<i32> {
    // SAFETY: the string ends with NUL and outlives the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// Lets a command begin in a time namespace of its own. Kernels before 6.3 do not enter it by execve(2): setns(2) does.
fn in_a_time_namespace(command: &mut Command) {
    let enter = || {
        // SAFETY: the system calls take integers and static memory.
        let failed = unsafe {
            libc::unshare(CLONE_NEWTIME) != 0
                || libc::write(
                    open(c"/proc/self/timens_offsets", libc::O_WRONLY)?,
                    OFFSET.as_ptr().cast(),
                    OFFSET.len(),
                ) < 0
                || libc::setns(open(c"/proc/self/ns/time_for_children", libc::O_RDONLY)?, CLONE_NEWTIME) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes only system calls, which are async-signal-safe.
    unsafe { command.pre_exec(enter) };
}

/// Lets a command begin with a /proc that hides the processes of other users.
fn with_hidepid(command: &mut Command) {
    const CAP_SYS_PTRACE: libc::c_ulong = 19;
    const NOBODYS_GROUP: libc::gid_t = 61_236;
    let prepare = || {
        let none = std::ptr::null();
        // SAFETY: the system calls take static strings that end with NUL.
        let failed = unsafe {
            libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) != 0
                || libc::mount(
                    c"proc".as_ptr(),
                    c"/proc".as_ptr(),
                    c"proc".as_ptr(),
                    0,
                    c"hidepid=2".as_ptr().cast(),
                ) != 0
                || libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) != 0
                // A process in the group of the mount option gid=, by default 0, sees all processes.
                || libc::setgroups(0, none.cast()) != 0
                || libc::setgid(NOBODYS_GROUP) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes only system calls, which are async-signal-safe.
    unsafe { command.pre_exec(prepare) };
}

#[track_caller]
fn ask(daemon: &Daemon, path: &str) -> Value {
    daemon.json(path).unwrap_or_else(|wrong| panic!("{wrong}\n{}", daemon.log()))
}

/// Starts a daemon; `degraded` is the text of the status about what is wrong.
#[track_caller]
fn start(prepare: fn(&mut Command), degraded: &str) -> Daemon {
    let started =
        Daemon::start_program(&setting::taskscope(), &setting::attach(), &[], |command, _| prepare(command));
    let daemon = started.unwrap_or_else(|why| panic!("{why}"));
    let status = ask(&daemon, "/v1/status");
    let reported = |reason: &Value| reason.as_str().is_some_and(|reason| reason.contains(degraded));
    assert!(status["degraded"].as_array().is_some_and(|reasons| reasons.iter().any(reported)), "{status:#}");
    assert!(status["uptime_ns"].as_u64().is_some_and(|up| up < HOUR_NS), "{status:#}");
    daemon
}

/// Returns the entry of a parent in `/v1/zombies`.
#[track_caller]
fn zombie_parent(daemon: &Daemon, parent: i64) -> Value {
    let zombies = ask(daemon, "/v1/zombies");
    let parents = zombies["parents"].as_array().into_iter().flatten();
    let found = parents.into_iter().find(|reported| reported["process"]["pid"] == parent);
    found
        .cloned()
        .unwrap_or_else(|| panic!("{parent} owes a wait and is not reported: {zombies:#}\n{}", daemon.log()))
}

#[test]
fn in_a_time_namespace_every_age_is_the_kernels() {
    if !std::fs::exists("/proc/self/ns/time_for_children").unwrap_or(false) {
        setting::skip(format_args!("this kernel has no time namespaces"));
        return;
    }
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let daemon = start(in_a_time_namespace, "time namespace");
    let mut later = scenario("zombie", &[]);
    later.pause("zombie");
    for scenario in [&zombie, &later] {
        let (parent, child) = (scenario.facts().role("scenario").pid, scenario.facts().role("child").pid);
        let zombie_parent = zombie_parent(&daemon, parent);
        let age = zombie_parent["oldest_zombies"][0]["zombie_at_most_ns"].as_u64();
        assert!(age.is_some_and(|age| age < HOUR_NS), "{zombie_parent:#}");
        // The daemon recognizes the process of /proc as the one of the record.
        let explained = ask(&daemon, &format!("/v1/explain/{child}"));
        assert!(!explained.to_string().contains("another's by now"), "{explained:#}");
    }
    let roots = [&zombie, &later].map(|scenario| scenario.facts().role("scenario").pid);
    let right = truth::becomes_proc(&daemon, &roots).and_then(|()| truth::has_the_zombies_of_proc(&daemon));
    right.unwrap_or_else(|wrong| panic!("{wrong}"));
    for mut scenario in [zombie, later] {
        scenario.go();
        scenario.finish();
    }
    daemon.stop().unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn a_proc_that_hides_others_is_reported_and_hides_no_zombie() {
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let daemon = start(with_hidepid, "hidepid");
    let (parent, child) = (zombie.facts().role("scenario").pid, zombie.facts().role("child").pid);
    zombie_parent(&daemon, parent);
    let explained = ask(&daemon, &format!("/v1/explain/{child}"));
    let text = explained.to_string();
    assert!(
        !text.contains("it ended before"),
        "a hidden process was taken for one that ended: {explained:#}"
    );
    zombie.go();
    zombie.finish();
    daemon.stop().unwrap_or_else(|wrong| panic!("{wrong}"));
}
