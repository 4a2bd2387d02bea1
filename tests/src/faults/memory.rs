//! No memory left: for the daemon's cgroup, on the machine.

use std::{os::unix::process::CommandExt as _, process::Command};

use super::{Fault, Place, limits::Cgroup};

/// What the daemon may take beyond what it has.
const ROOM_KIB: u64 = 12 << 10;

/// More lives than that has room for, with what is kept of them.
const LIVES: &str = "12000";

/// As the unit sets it (packaging/systemd).
const OOM_SCORE: &str = "-500";

/// The daemon's cgroup is at its limit, because it keeps so much of the past.
pub(super) const CGROUP: Fault = Fault {
    name: "memory.max",
    what: "the daemon's memory cgroup is at its limit: it keeps a long past, and there is a storm",
    guest_only: false,
    long: false,
    stays_ready: true,
    args: &["--dead-lives", "1000000", "--dead-lives-age", "1h", "--backlog", "1000000"],
    prepare: |_, _| {},
    inflict: |case| {
        let mut cgroup = Cgroup::new("memory")?;
        let now = case.daemon.figures()?.rss_kib;
        let file = if cgroup.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        cgroup.take(case.daemon.pid())?;
        cgroup.write(file, &((now + ROOM_KIB) * 1024).to_string())?;
        case.scenario("burst", &[LIVES]).finish();
        Ok(Box::new(cgroup))
    },
};

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
