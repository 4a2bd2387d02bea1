//! Time that jumps or stands still: the wall clock is set, the machine sleeps, the daemon is stopped.

use std::{fs, time::Duration};

use super::{Fault, Held, limits::Setting};

const DAY: i64 = 86_400;

/// The wall clock is set: forward, back, to the epoch, beyond 32 bits.
pub(super) const JUMPS: Fault = Fault {
    name: "clock jumps",
    what: "the wall clock is set a day ahead, two days back, to 1970 and to 2100",
    guest_only: true,
    long: false,
    stays_ready: true,
    args: &[],
    prepare: |_, _| {},
    inflict: |case| {
        let clock = WallClock::keep();
        let now = clock.seconds;
        for to in [now + DAY, now - 2 * DAY, DAY, 4_102_444_800] {
            set(to)?;
            case.scenario("burst", &["50"]).finish();
            let zombies = case.daemon.json("/v1/zombies")?;
            check_ages(&zombies)?;
        }
        Ok(Box::new(clock) as Held)
    },
};

/// Every task is frozen for some seconds and thawed, as on the way into sleep and out of it.
pub(super) const SUSPEND: Fault = Fault {
    name: "suspend",
    what: "every task is frozen for 5 s and thawed, as a suspend does it (pm_test)",
    guest_only: true,
    long: true,
    stays_ready: false,
    args: &[],
    prepare: |_, _| {},
    inflict: |case| {
        suspend()?;
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new(()))
    },
};

/// How long the daemon is stopped.
const STOPPED_FOR: Duration = Duration::from_secs(5);

/// The daemon stands still, as under a debugger, a freezer, or a host that gives its guest no CPU.
pub(super) const STOPPED: Fault = Fault {
    name: "stopped",
    what: "the daemon is stopped for 5 s while processes come and go, and continues",
    guest_only: false,
    long: true,
    stays_ready: false,
    args: &["--ring-kib", "256"],
    prepare: |_, _| {},
    inflict: |case| {
        case.daemon.signal(libc::SIGSTOP);
        let begun = std::time::Instant::now();
        while begun.elapsed() < STOPPED_FOR {
            case.scenario("burst", &["1000"]).finish();
        }
        case.daemon.signal(libc::SIGCONT);
        Ok(Box::new(()))
    },
};

/// No age is longer than the machine has been up, however the wall clock was set.
fn check_ages(zombies: &serde_json::Value) -> Result<(), String> {
    let up_ns = crate::setting::now_ns();
    let parents = zombies["parents"].as_array().into_iter().flatten();
    for parent in parents {
        for age in ["zombie_at_least_ns", "zombie_at_most_ns"] {
            if parent["oldest"][age].as_u64().is_some_and(|age| age > up_ns) {
                return Err(format!("an age that cannot be: {parent}"));
            }
        }
    }
    Ok(())
}

/// The wall clock as it was; what has passed since is added when it is put back.
struct WallClock {
    seconds: i64,
    kept: std::time::Instant,
}

impl WallClock {
    fn keep() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { seconds: now.as_secs().cast_signed(), kept: std::time::Instant::now() }
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        if let Err(error) = set(self.seconds + self.kept.elapsed().as_secs().cast_signed()) {
            eprintln!("{error}");
        }
    }
}

fn set(seconds: i64) -> Result<(), String> {
    let time = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
    // SAFETY: a complete value that outlives the call.
    let failed = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } != 0;
    if failed {
        let error = std::io::Error::last_os_error();
        return Err(super::skipped(format_args!("setting the wall clock: {error}")));
    }
    Ok(())
}

/// The kernel's own test of a suspend: it goes as far as freezing all tasks, waits five seconds, and comes back. An emulated machine
/// that really sleeps has nothing that is sure to wake it up.
fn suspend() -> Result<(), String> {
    const LEVEL: &str = "/sys/power/pm_test";
    const STATE: &str = "/sys/power/state";
    let level = Setting::set(LEVEL, "freezer")?;
    let states =
        fs::read_to_string(STATE).map_err(|error| super::skipped(format_args!("{STATE}: {error}")))?;
    let state =
        ["freeze", "mem"].into_iter().find(|state| states.split_whitespace().any(|has| has == *state));
    let state =
        state.ok_or_else(|| super::skipped(format_args!("this kernel cannot sleep: `{}`", states.trim())))?;
    let slept = fs::write(STATE, state);
    drop(level);
    slept.map_err(|error| super::skipped(format_args!("{STATE}: {error}")))
}
