//! Ends that wait(2) distinguishes: core dumps, signals, codes.

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die, die_with},
    number, sys,
};

pub(crate) const SCENARIOS: &[Entry] =
    &[("core-dump", "a child dies of SIGNAL (3) that dumps core", core_dump)];

fn core_dump(args: &[String]) {
    let signal = number(args, 0, libc::SIGQUIT);
    let directory = std::env::temp_dir().join(format!("taskscope-core-{}", sys::getpid()));
    if let Err(error) = fs::create_dir(&directory) {
        die_with("mkdir for a core", error.raw_os_error().unwrap_or(0));
    }
    let place = directory.clone();
    let child = spawn("child", move || {
        enter(&place);
        sys::set_limit(libc::RLIMIT_CORE, libc::RLIM_INFINITY);
        sys::reset(signal);
        sys::kill(sys::getpid(), signal);
        sys::sleep_for_ever()
    });
    let status = wait("scenario", "child", child);
    Fact::new("core").flag("dumped", libc::WCOREDUMP(status)).emit();
    if let Err(error) = fs::remove_dir_all(&directory) {
        die_with("removing the core's directory", error.raw_os_error().unwrap_or(0));
    }
}

/// Changes to a directory, because the kernel writes a core to the working directory, unless `core_pattern` has another path.
fn enter(directory: &Path) {
    let Ok(path) = std::ffi::CString::new(directory.as_os_str().as_bytes()) else {
        die_with("naming the core's directory", libc::EINVAL)
    };
    // SAFETY: `path` ends with NUL and outlives the call.
    if unsafe { libc::chdir(path.as_ptr()) } != 0 {
        die("chdir");
    }
}
