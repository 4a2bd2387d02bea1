//! Faults of time: the wall clock is set, the machine is suspended, the daemon is stopped.

use std::time::Duration;

use super::{Fault, Held};

const DAY: i64 = 86_400;

/// The wall clock is set forward, back, to the epoch, and beyond 32 bits.
pub(super) const JUMPS: Fault = Fault {
    name: "clock jumps",
    what: "the wall clock is set a day ahead, two days back, to 1970 and to 2100",
    guest_only: true,
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
    ..super::NONE
};

/// The machine sleeps and wakes up.
pub(super) const SUSPEND: Fault = Fault {
    name: "suspend",
    what: "the machine is suspended to memory for 8 s: boottime advances, monotonic time does not",
    guest_only: true,
    long: true,
    stays_ready: false,
    inflict: |case| {
        let before = super::suspend::oldest(&case.daemon.json("/v1/zombies")?)?;
        super::suspend::suspend()?;
        let after = super::suspend::oldest(&case.daemon.json("/v1/zombies")?)?;
        super::suspend::check_age(before, after)?;
        case.scenario("burst", &["500"]).finish();
        check_ages(&case.daemon.json("/v1/zombies")?)?;
        Ok(Box::new(()))
    },
    ..super::NONE
};

/// How long the daemon is stopped.
const STOPPED_FOR: Duration = Duration::from_secs(5);

/// The daemon is stopped, as by a debugger, a freezer, or a host that gives its guest no CPU.
pub(super) const STOPPED: Fault = Fault {
    name: "stopped",
    what: "the daemon is stopped for 5 s while processes come and go, and continues",
    long: true,
    stays_ready: false,
    args: &["--ring-kib", "256"],
    inflict: |case| {
        case.daemon.signal(libc::SIGSTOP);
        let begun = std::time::Instant::now();
        while begun.elapsed() < STOPPED_FOR {
            case.scenario("burst", &["1000"]).finish();
        }
        case.daemon.signal(libc::SIGCONT);
        Ok(Box::new(()))
    },
    ..super::NONE
};

/// Checks that no age is longer than the uptime of the machine, even after the wall clock was set.
fn check_ages(zombies: &serde_json::Value) -> Result<(), String> {
    let up_ns = crate::setting::now_ns();
    let parents = zombies["parents"].as_array().into_iter().flatten();
    let mut ages = 0_u32;
    for parent in parents {
        for age in ["zombie_at_least_ns", "zombie_at_most_ns"] {
            let Some(age) = parent[age].as_u64() else { continue };
            ages += 1;
            if age > up_ns {
                return Err(format!("an impossible age: {parent}"));
            }
        }
    }
    if ages == 0 {
        return Err(format!("no zombie has an age: {zombies}"));
    }
    Ok(())
}

/// The former wall clock. When this is dropped, it is set again, plus the time that has passed.
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
