//! Faults of memory: the limit of the daemon's cgroup is reached, or the host has none left.

use std::{os::unix::process::CommandExt as _, process::Command};

use super::{Fault, Place, limits::Cgroup};

/// Limit of the daemon's cgroup: what it starts with, its ring, and hardly more.
const LIMIT: &str = "64M";

/// The limit that the daemon is given if it cannot read one by itself: in a v1 hierarchy. 90 % of it, as otherwise.
const LIMIT_REPORTED: &str = "57M";

/// More lives than that has room for, with what is kept of them, in bursts that a slow machine finishes within a deadline.
const BURSTS: u32 = 8;
const LIVES: &str = "2000";

/// As the unit sets it (packaging/systemd).
const OOM_SCORE: &str = "-500";

/// The daemon's cgroup reaches its limit, because the daemon keeps much history.
pub(super) const CGROUP: Fault = Fault {
    name: "memory.max",
    what: "the daemon's memory cgroup is at its limit: it keeps a long past, and there is a storm",
    guest_only: false,
    long: false,
    stays_ready: true,
    args: &["--dead-lives", "1000000", "--dead-lives-age", "1h", "--backlog", "1000000"],
    prepare: limited,
    inflict: |case| {
        let mut cgroup = Cgroup::new("memory")?;
        // It is there already, and is to leave when this is dropped.
        cgroup.take(case.daemon.pid())?;
        for _ in 0..BURSTS {
            case.scenario("burst", &[LIVES]).finish();
        }
        Ok(Box::new(cgroup))
    },
};

/// Starts a command in a cgroup with a limit. If that is not possible, the fault cannot be tried later either.
fn limited(command: &mut Command, _: &Place) {
    let Ok(cgroup) = Cgroup::new("memory") else { return };
    let file = if cgroup.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
    if cgroup.write(file, LIMIT).is_err() {
        return;
    }
    if !cgroup.is_v2 {
        command.args(["--memory-max", LIMIT_REPORTED]);
    }
    cgroup.begin(command);
    // The same directory is taken again when the fault begins.
    std::mem::forget(cgroup);
}

/// The OOM killer is at work on the machine.
pub(super) const HOST: Fault = Fault {
    name: "host OOM",
    what: "another process takes all memory, is killed, and begins again",
    guest_only: true,
    long: false,
    stays_ready: false,
    args: &[],
    prepare: spare,
    inflict: |case| {
        let mut hog = case.scenario("hog-memory", &[]);
        hog.pause("killed");
        Ok(Box::new(hog))
    },
};

/// The unit's `OOMScoreAdjust`.
fn spare(command: &mut Command, _: &Place) {
    let write = || std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    // SAFETY: open, write and close of a path that is a constant: what it allocates is freed again, and the child of this
    // process's one spawner thread has nobody that holds the allocator's lock.
    unsafe { command.pre_exec(write) };
}
