//! Paths of the programs, and time limits.

use std::{env, path::PathBuf, process::Command, time::Duration};

/// Returns the family of rungs that taskscope may use: `TASKSCOPE_ATTACH`, else `auto`.
#[must_use]
pub fn attach() -> String {
    env::var("TASKSCOPE_ATTACH").unwrap_or_else(|_| "auto".to_owned())
}

/// Whether this is a guest of `cargo xtask vm`, where everything is several times slower.
#[must_use]
pub fn in_vm() -> bool {
    env::var_os("TASKSCOPE_VM").is_some()
}

/// Returns how long to wait for an event that must come. Only a failing test waits that long. The daemon concludes a hidden end
/// after 5 s, and one conclusion may have to wait for another. A guest of another architecture is emulated instruction by instruction:
/// beside other tests, two daemons took more than 30 s to start there.
#[must_use]
pub const fn deadline() -> Duration {
    Duration::from_secs(if cfg!(target_arch = "x86_64") { 30 } else { 90 })
}

/// Returns the program under test: `TASKSCOPE_BIN`, else the release build of this workspace.
#[must_use]
pub fn taskscope() -> PathBuf {
    if let Some(path) = env::var_os("TASKSCOPE_BIN") {
        return path.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("release/taskscope")
}

/// Returns the scenario program: `TASKSCOPE_SCENARIO`, else the one that cargo built for the test.
#[must_use]
pub fn scenario(built: &str) -> PathBuf {
    env::var_os("TASKSCOPE_SCENARIO").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// Prints a line for the table of a VM run: `TASKSCOPE-REPORT key=value`.
pub fn report(key: &str, value: impl std::fmt::Display) {
    println!("TASKSCOPE-REPORT {key}={value}");
}

/// Prints a line that this test cannot run here, and why, so that the run counts it as skipped and not as passed.
///
/// In a guest, init reads the line; natively, the line is appended to the file that `TASKSCOPE_SKIPPED` names.
pub fn skip(why: impl std::fmt::Display) {
    println!("TASKSCOPE-SKIPPED {why}");
    let Some(path) = std::env::var_os("TASKSCOPE_SKIPPED") else { return };
    let thread = std::thread::current();
    // libtest names the thread after the test. With one test thread it runs tests on its main thread, which has no test's name.
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
    let added = file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
    added.unwrap_or_else(|error| panic!("adding to {}: {error}", path.display()));
}

/// Skips this test in a guest; returns whether this is one.
#[must_use]
pub fn skip_in_vm(why: impl std::fmt::Display) -> bool {
    if in_vm() {
        skip(why);
    }
    in_vm()
}

/// Returns the wall clock as date(1) prints it: RFC 3339 with milliseconds, in UTC.
///
/// The test does nothing in the milliseconds before and after it: a life that ends in the same millisecond as the time that
/// is returned is over at that time.
#[must_use]
#[track_caller]
pub fn date() -> String {
    let apart = || std::thread::sleep(Duration::from_millis(5));
    apart();
    let output = Command::new("date").args(["-u", "+%FT%T.%3NZ"]).output();
    let output = output.unwrap_or_else(|error| panic!("starting date: {error}"));
    apart();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Returns `CLOCK_BOOTTIME`, ns: the clock of every event and fact.
#[must_use]
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `time`, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
