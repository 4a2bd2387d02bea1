//! Suspends a machine to memory until its real-time clock wakes it up.

use std::fs;

use serde_json::Value;

use super::{limits::Setting, skipped};

const STATE: &str = "/sys/power/state";
/// The file that selects what `mem` in /sys/power/state means.
const DEPTH: &str = "/sys/power/mem_sleep";
const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";

/// Seconds from now until the clock wakes the machine up. An emulated machine needs some of them to suspend.
const ALARM_IN_S: &str = "+8";
/// The least time that it must have been suspended.
const SLEPT_NS: u64 = 1_000_000_000;
/// The tolerance between two clocks and an answer on a machine that has just resumed.
const NOISE_NS: u64 = 1_000_000_000;

/// Suspends to memory (S3) until the clock wakes the machine up. Returns an error unless boottime advanced while monotonic time did
/// not.
///
/// `s2idle` does not work for this: an emulated CPU has no idle state in which the kernel stops its clocks.
pub(super) fn suspend() -> Result<(), String> {
    let depth = Setting::set(DEPTH, "deep")?;
    write(ALARM, "0")?;
    write(ALARM, ALARM_IN_S)?;
    let before = asleep_ns();
    let states = read(STATE)?;
    if !states.split_whitespace().any(|state| state == "mem") {
        return Err(skipped(format_args!("this kernel cannot suspend to memory: `{}`", states.trim())));
    }
    let slept = fs::write(STATE, "mem");
    let after = asleep_ns();
    drop(depth);
    slept.map_err(|error| format!("writing mem to {STATE}: {error}"))?;
    let slept_ns = after.saturating_sub(before);
    eprintln!("suspend: boottime gained {} ms on monotonic time", slept_ns / 1_000_000);
    if slept_ns < SLEPT_NS {
        return Err(format!("the machine did not sleep: boottime gained {slept_ns} ns on monotonic time"));
    }
    Ok(())
}

/// Returns the time of an answer of `/v1/zombies`, and the age of its oldest zombie.
pub(super) fn oldest(answer: &Value) -> Result<(u64, u64), String> {
    let parents = answer["parents"].as_array().into_iter().flatten();
    let age = parents.filter_map(|parent| parent["zombie_at_least_ns"].as_u64()).max();
    let made = answer["boottime_ns"].as_u64();
    made.zip(age).ok_or_else(|| format!("no zombie with an age: {answer}"))
}

/// Checks that a zombie has aged by the time that boottime has advanced according to this process's clock.
pub(super) fn check_age(before: (u64, u64), after: (u64, u64)) -> Result<(), String> {
    let (passed, aged) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let now = crate::setting::now_ns();
    if passed.abs_diff(aged) > NOISE_NS || passed < SLEPT_NS || now.abs_diff(after.0) > 10 * NOISE_NS {
        return Err(format!(
            "after a sleep a zombie aged {aged} ns in {passed} ns; the answer is of {}, and it is {now}",
            after.0
        ));
    }
    Ok(())
}

/// Returns how long the machine has been suspended since boot: `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`.
fn asleep_ns() -> u64 {
    clock(libc::CLOCK_BOOTTIME).saturating_sub(clock(libc::CLOCK_MONOTONIC))
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is writable and outlives the call.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| skipped(format_args!("{path}: {error}")))
}

fn write(path: &str, value: &str) -> Result<(), String> {
    fs::write(path, value).map_err(|error| skipped(format_args!("writing {value} to {path}: {error}")))
}
