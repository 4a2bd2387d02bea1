//! Faults of memory: the limit of the daemon's cgroup is reached, or the host has none left.

use std::{os::unix::process::CommandExt as _, process::Command};

use super::{Fault, Place, limits::Cgroup};

/// Limit of the daemon's cgroup: hardly more than it needs at its start, with its ring.
const LIMIT: &str = "64M";

/// The limit that the daemon gets as an argument in a v1 hierarchy, where it does not read the limit itself: 90 % of the cgroup's.
const LIMIT_REPORTED: &str = "57M";

/// Number of lives that exceeds this memory, in bursts that a slow machine finishes within a deadline.
const BURSTS: u32 = 8;
const LIVES: &str = "2000";

/// `OOMScoreAdjust=` of the unit (packaging/systemd).
const OOM_SCORE: &str = "-500";

/// The daemon's cgroup reaches its limit, because the daemon keeps much history.
pub(super) const CGROUP: Fault = Fault {
    name: "memory.max",
    what: "the daemon's memory cgroup is at its limit: it keeps many ended processes, and there is a storm",
    args: &["--dead-lives", "1000000", "--dead-lives-age", "1h", "--backlog", "1000000"],
    prepare: limited,
    inflict: |case| {
        let mut cgroup = Cgroup::new("memory")?;
        // The daemon is in the cgroup already; dropping this moves it out.
        cgroup.take(case.daemon.pid())?;
        for _ in 0..BURSTS {
            case.scenario("burst", &[LIVES]).finish();
        }
        Ok(Box::new(cgroup))
    },
    ..super::NONE
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
    // The fault uses the same directory when it begins.
    std::mem::forget(cgroup);
}

/// The OOM killer runs on the machine.
pub(super) const HOST: Fault = Fault {
    name: "host OOM",
    what: "another process takes all memory, is killed, and starts again",
    guest_only: true,
    stays_ready: false,
    prepare: spare,
    inflict: |case| {
        let mut hog = case.scenario("hog-memory", &[]);
        hog.pause("killed");
        Ok(Box::new(hog))
    },
    ..super::NONE
};

/// Sets the unit's `OOMScoreAdjust`.
fn spare(command: &mut Command, _: &Place) {
    let write = || std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    // SAFETY: the closure opens, writes and closes a constant path. It may allocate, but only the spawner thread forks, and no
    // thread holds the allocator's lock in the child.
    unsafe { command.pre_exec(write) };
}
