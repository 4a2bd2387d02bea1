//! Faults of the CPU: real-time tasks use it all, or a thousand tasks compete for it.

use std::{os::unix::process::CommandExt as _, process::Command};

use super::{
    Fault, Held, Place,
    limits::{Cgroup, Setting},
};

/// Priority of the thread that makes the queries: above the spinning tasks.
const ASKER: i32 = 60;

/// Real-time tasks take all CPU time that the kernel gives them.
pub(super) const REAL_TIME: Fault = Fault {
    name: "SCHED_FIFO",
    what: "200 tasks spin under SCHED_FIFO; the kernel leaves 5 % of the CPU to others (sched_rt_runtime_us)",
    guest_only: true,
    stays_ready: false,
    inflict: |case| {
        // Without this limit, other tasks of the machine would get no CPU time.
        let limit = Setting::set("/proc/sys/kernel/sched_rt_runtime_us", "950000")?;
        let settings = without_stall_panics();
        let asker = RealTime::be(ASKER)?;
        let mut hog = case.scenario("hog-cpu", &["200", "fifo"]);
        hog.pause("spinning");
        Ok(Box::new((hog, asker, limit, settings)) as Held)
    },
    ..super::NONE
};

/// A load average of a thousand.
pub(super) const LOAD: Fault = Fault {
    name: "load 1000",
    what: "1,000 tasks are runnable in another cgroup, and the daemon has the share of the CPU and the priority that its unit sets",
    guest_only: true,
    // With emulated CPUs on a busy host a wakeup takes seconds.
    long: true,
    stays_ready: false,
    prepare: preferred,
    inflict: |case| {
        let settings = without_stall_panics();
        let asker = RealTime::be(ASKER)?;
        // The tasks inherit the cgroup, as those of a user do from user.slice.
        let mut others = Cgroup::named("cpu", "others")?;
        others.take(std::process::id())?;
        let mut hog = case.scenario("hog-cpu", &["1000"]);
        hog.pause("spinning");
        Ok(Box::new((hog, others, asker, settings)) as Held)
    },
    ..super::NONE
};

/// Sets the unit's `CPUWeight` and `Nice`.
fn preferred(command: &mut Command, _: &Place) {
    const NICE: i32 = -10;
    if let Ok(cgroup) = Cgroup::new("cpu") {
        // A weight of 100 is 1,024 shares.
        let (file, value) = if cgroup.is_v2 { ("cpu.weight", "1000") } else { ("cpu.shares", "10240") };
        if cgroup.write(file, value).is_ok() {
            cgroup.begin(command);
        }
        // It is needed until the daemon has ended.
        std::mem::forget(cgroup);
    }
    let set = || {
        // SAFETY: the call takes integers only; 0 is the calling process.
        let failed = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
        if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes one system call, which is async-signal-safe.
    unsafe { command.pre_exec(set) };
}

/// Turns off the panics of a guest of `cargo xtask vm` for kernel threads without progress, which these faults cause.
fn without_stall_panics() -> Vec<Setting> {
    let settings = ["/proc/sys/kernel/panic_on_rcu_stall", "/proc/sys/kernel/softlockup_panic"];
    // A kernel without one of these settings does not panic.
    settings.into_iter().filter_map(|path| Setting::set(path, "0").ok()).collect()
}

/// Real-time priority (`SCHED_FIFO`) for the calling thread, so that the measured time is the daemon's and not that of the thread
/// that makes the queries. Child processes do not inherit it. Drop this on the same thread.
struct RealTime;

impl RealTime {
    fn be(priority: i32) -> Result<Self, String> {
        // A child made by this thread would be real-time too.
        schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)
            .map(|()| Self)
            .map_err(|error| super::skipped(format_args!("sched_setscheduler: {error}")))
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        // A thread may always lower its priority.
        let _ = schedule(libc::SCHED_OTHER, 0);
    }
}

fn schedule(policy: i32, priority: i32) -> std::io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is complete and outlives the call; 0 is the calling thread.
    let failed = unsafe { libc::sched_setscheduler(0, policy, &raw const param) } != 0;
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
