//! Creates and stops a kernel thread.
//!
//! The kernel thread `khugepaged` exists while transparent huge pages are on. It is the only kernel thread that a write to sysfs
//! makes on every kernel line.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    Entry,
    actor::announce,
    fact::{Fact, die_with, skip},
    proc,
    sys::Pid,
};

pub(crate) const SCENARIOS: &[Entry] =
    &[("kernel-thread", "khugepaged is stopped and made again", kernel_thread)];

/// Longer than a loaded machine needs to end a thread.
const GONE_WITHIN: Duration = Duration::from_secs(20);
const SWITCH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

fn kernel_thread(_: &[String]) {
    let text = match fs::read_to_string(SWITCH) {
        Ok(text) => text,
        Err(error) => skip(SWITCH, error.raw_os_error().unwrap_or(0)),
    };
    // The value in use stands in brackets.
    let Some(was) = text.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0)) else {
        die_with("parsing the state of huge pages", libc::EINVAL)
    };
    let on = if was == "never" { "madvise" } else { was };
    set("never");
    // The kernel waits until the thread has stopped its work, but not until its task is released.
    let end = Instant::now() + GONE_WITHIN;
    while find().is_some() {
        if Instant::now() > end {
            die_with("waiting until khugepaged is gone", libc::ETIMEDOUT)
        }
        thread::yield_now();
    }
    Fact::new("stopped").emit();
    set(on);
    let pid = find();
    if let Some(pid) = pid {
        announce("kernel-thread", pid, pid);
    }
    // Restores the former setting. If that was off, the thread ends again.
    if was != on {
        set(was);
    }
    if pid.is_none() {
        die_with("looking for khugepaged in /proc", libc::ESRCH);
    }
}

fn set(value: &str) {
    if let Err(error) = fs::write(SWITCH, value) {
        skip(&format!("writing {value} to {SWITCH}"), error.raw_os_error().unwrap_or(0));
    }
}

fn find() -> Option<Pid> {
    let pids = fs::read_dir("/proc").ok()?;
    pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|&pid: &Pid| proc::Stat::read(pid, pid).is_some_and(|stat| stat.comm == b"khugepaged"))
}
