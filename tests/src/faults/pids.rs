//! Faults of pids: none is left for the daemon's cgroup, for its user, or on the host.

use std::{
    io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::Command,
};

use super::{
    Case, Fault, Held, Place,
    limits::{Cgroup, Setting},
};

/// `pids.max` of the daemon's cgroup is the number of its threads.
pub(super) const CGROUP: Fault = Fault {
    name: "pids.max",
    what: "pids.max of the daemon's cgroup is the number of its threads",
    inflict: |case| {
        let mut cgroup = Cgroup::new("pids")?;
        cgroup.take(case.daemon.pid())?;
        cgroup.write("pids.max", &case.daemon.threads().to_string())?;
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new(cgroup))
    },
    ..super::NONE
};

/// The daemon's user has reached `RLIMIT_NPROC`.
pub(super) const NPROC: Fault = Fault {
    name: "RLIMIT_NPROC",
    what: "the daemon's user, which is not root, has as many processes as it may",
    prepare: as_a_user,
    inflict: |case| {
        let mut hog = case.scenario("hog-pids", &[&PROCESSES.to_string(), &USER.to_string()]);
        hog.pause("full");
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new(hog))
    },
    ..super::NONE
};

/// No process can be made: `kernel.threads-max`.
pub(super) const THREADS_MAX: Fault = Fault {
    name: "threads-max",
    what: "kernel.threads-max is reached: no process or thread can be made",
    guest_only: true,
    inflict: |case| {
        // The limit is below the present number of threads; the kernel accepts 20 and more.
        let limit = Setting::set("/proc/sys/kernel/threads-max", "20")?;
        refuses_us(case).map(|()| Box::new(limit) as Held)
    },
    ..super::NONE
};

/// No process can be made: every pid below `kernel.pid_max` is in use.
pub(super) const PID_MAX: Fault = Fault {
    name: "pid_max",
    what: "every pid below kernel.pid_max is in use",
    guest_only: true,
    inflict: |case| {
        // The kernel gives the first 300 pids only once, so a few hundred are left.
        let limit = Setting::set("/proc/sys/kernel/pid_max", "700")?;
        let mut hog = case.scenario("hog-pids", &[]);
        hog.pause("full");
        let errno = hog.facts().find("hog", "fact", "hog")["errno"].as_i64();
        if errno != Some(libc::EAGAIN.into()) {
            return Err(super::skipped(format_args!(
                "pids do not run out below {:?}: errno {errno:?}",
                limit.before()
            )));
        }
        Ok(Box::new((hog, limit)))
    },
    ..super::NONE
};

/// Checks that the limit is reached: fork(2) fails in this process.
fn refuses_us(_: &Case<'_>) -> Result<(), String> {
    // SAFETY: the child ends at once and touches nothing.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => unsafe {
            // SAFETY: this is the child, and `_exit` never returns.
            libc::_exit(0)
        },
        pid if pid > 0 => {
            // SAFETY: a null status is allowed.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            Err(super::skipped("the limit has no effect"))
        }
        _ => Ok(()),
    }
}

/// A user without other processes.
const USER: u32 = 61_235;

/// Number of processes and threads that this user may have: enough to start a daemon.
const PROCESSES: u64 = 16;

/// Capabilities that the daemon needs: `CAP_SYS_ADMIN`, `CAP_PERFMON`, `CAP_BPF` (capabilities(7)).
const CAPABILITIES: [u32; 3] = [21, 38, 39];

/// `_LINUX_CAPABILITY_VERSION_3` of capget(2).
const VERSION: u32 = 0x2008_0522;

/// Lets a command begin as a user with the capabilities that its unit gives it. Root has no limit on its processes.
fn as_a_user(command: &mut Command, place: &Place) {
    let directory = place.directory.as_os_str().as_bytes().to_vec();
    let owned = std::os::unix::fs::chown(&place.directory, Some(USER), Some(USER));
    owned.unwrap_or_else(|error| panic!("giving {} away: {error}", String::from_utf8_lossy(&directory)));
    let become_user = || {
        let bits = CAPABILITIES.iter().fold(0_u64, |bits, bit| bits | 1 << bit);
        let (low, high) = ((bits & u64::from(u32::MAX)) as u32, (bits >> 32) as u32);
        let header = [VERSION, 0];
        // Effective, permitted and inheritable: first the lower 32 bits, then the upper ones.
        let sets = [low, low, low, high, high, high];
        let limit = libc::rlimit { rlim_cur: PROCESSES, rlim_max: PROCESSES };
        // SAFETY: the system calls take integers and complete structures, and are async-signal-safe.
        let failed = unsafe {
            libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) != 0
                || libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0
                || libc::setgroups(0, std::ptr::null()) != 0
                || libc::setgid(USER) != 0
                || libc::setuid(USER) != 0
                || libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) != 0
                || CAPABILITIES.iter().any(|&bit| {
                    libc::prctl(
                        libc::PR_CAP_AMBIENT,
                        libc::PR_CAP_AMBIENT_RAISE,
                        libc::c_ulong::from(bit),
                        0,
                        0,
                    ) != 0
                })
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes only system calls, which are async-signal-safe.
    unsafe { command.pre_exec(become_user) };
}
